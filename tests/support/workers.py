"""A pytest plugin that gives each worker of pytest-xdist its own PostgreSQL roles.

Roles belong to the whole server, and tests change their passwords. Django's settings read the names from the
environment before any conftest.py is loaded, so this is a plugin that pyproject.toml names.
"""

import os

PREFIX = os.environ.get("USAGE_ROLE_PREFIX", "usage_test")
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER:
    os.environ["USAGE_ROLE_PREFIX"] = f"{PREFIX}_{WORKER}"


def pytest_make_parametrize_id(val: object) -> str | None:
    """Give a test the same name in every worker, even if a role is one of its parameters."""
    if WORKER and isinstance(val, str) and f"{PREFIX}_{WORKER}" in val:
        return val.replace(f"{PREFIX}_{WORKER}", PREFIX)
    return None
