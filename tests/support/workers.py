"""A pytest plugin that gives each worker of pytest-xdist PostgreSQL roles of its own.

Roles belong to the whole server, and tests change their passwords. The names come from the environment when Django
reads its settings, which is before any conftest.py is read: hence a plugin, named in pyproject.toml.
"""

import os

PREFIX = os.environ.get("USAGE_ROLE_PREFIX", "usage_test")
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER:
    os.environ["USAGE_ROLE_PREFIX"] = f"{PREFIX}_{WORKER}"


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a test the same in every worker, also when a role is among its parameters."""
    if WORKER and isinstance(val, str) and f"{PREFIX}_{WORKER}" in val:
        return val.replace(f"{PREFIX}_{WORKER}", PREFIX)
    return None
