"""The ledger's database: the default one, unless a router or `AI_COSTS["DATABASE"]` sends the apps elsewhere."""

from __future__ import annotations

from typing import Any, cast

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from usage_billing.conf import conf


def alias() -> str:
    """The alias of the ledger's database."""
    return conf.DATABASE or router.db_for_write(apps.get_model("usage_billing", "UsageRecord"))


class _Connection:
    """Proxy of this thread's connection to the ledger's database, like `django.db.connection` for the default one."""

    def __getattr__(self, name: str) -> Any:
        return getattr(connections[alias()], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(connections[alias()], name, value)


connection = cast(BaseDatabaseWrapper, _Connection())


def has_users() -> bool:
    """Whether the user table is in the ledger's database, so that statements may join it."""
    return alias() == router.db_for_read(get_user_model())


def atomic() -> transaction.Atomic:
    """A transaction or savepoint in the ledger's database."""
    return transaction.atomic(using=alias())


def on_commit(function: Any) -> None:
    """Call the function once the ledger's transaction has committed."""
    transaction.on_commit(function, using=alias())
