"""The ledger's database: the default one, unless a router or `AI_COSTS["DATABASE"]` sends the apps elsewhere."""

from __future__ import annotations

from typing import Any, cast

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from usage_billing.conf import conf


def alias() -> str:
    """Alias of the ledger's database."""
    return conf.DATABASE or router.db_for_write(apps.get_model("usage_billing", "UsageRecord"))


class _Connection:
    """Stands for the connection of this thread, as `django.db.connection` does for the default database."""

    def __getattr__(self, name: str) -> Any:
        return getattr(connections[alias()], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(connections[alias()], name, value)


connection = cast(BaseDatabaseWrapper, _Connection())


def has_users() -> bool:
    """Whether the table of users is in the ledger's database too, so that statements may join it."""
    return alias() == router.db_for_read(get_user_model())


def atomic() -> transaction.Atomic:
    """A transaction, or a savepoint, in the ledger's database."""
    return transaction.atomic(using=alias())


def on_commit(function: Any) -> None:
    """Call the function once the ledger's transaction has committed."""
    transaction.on_commit(function, using=alias())
