"""The Django application of the ledger."""

from typing import Any

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import connections, transaction
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _


class UsageBillingConfig(AppConfig):
    name = "usage_billing"
    verbose_name = _("AI usage")

    def ready(self) -> None:
        from usage_billing.checks import files, keys, mail, web  # noqa: F401  # registers them
        from usage_billing.database import checks as database_checks  # noqa: F401

        pre_migrate.connect(_before_migration, sender=self)
        post_migrate.connect(_after_migration, sender=self)


def _before_migration(*, using: str, plan: Any = (), **_options: Any) -> None:
    from usage_billing.database import functions

    if plan:
        functions.drop_view(connections[using])


def _after_migration(*, using: str, **_options: Any) -> None:
    """Roles, policies, functions and the view follow from the models as they are now."""
    from usage_billing.database import functions, seal, walls
    from usage_billing.models import DailyUsage, UsageRecord

    connection = connections[using]
    if not {UsageRecord._meta.db_table, DailyUsage._meta.db_table} <= {*connection.introspection.table_names()}:
        return  # migrated back to nothing
    with transaction.atomic(using=using):
        if connection.vendor == "postgresql":
            try:
                seal.create(connection)
                walls.build(connection)
            except (walls.RolesMissing, ImproperlyConfigured) as missing:
                raise CommandError(str(missing)) from missing
        functions.create(connection)
