"""A pytest plugin that gives each worker of pytest-xdist PostgreSQL roles of its own.

Roles belong to the whole server, and tests change their passwords. The names come from the environment when Django
reads its settings, which is before any conftest.py is read: hence a plugin, named in pyproject.toml.
"""

import os

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["USAGE_ROLE_PREFIX"] = f"{os.environ.get('USAGE_ROLE_PREFIX', 'usage_test')}_{worker}"
