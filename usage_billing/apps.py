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
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = _("AI costs")

    def ready(self) -> None:
        from usage_billing.archive import storage
        from usage_billing.checks import files  # noqa: F401  # registers them
        from usage_billing.ledger import archived, drain_thread
        from usage_billing.recording import drain_signal, recorder
        from usage_billing.tenancy import checks as database_checks  # noqa: F401

        drain_signal.callbacks.append(drain_thread.wake)
        drain_thread.chores.append(recorder.note_losses)
        archived.finders.append(storage.find)
        pre_migrate.connect(_before_migration, sender=self)
        post_migrate.connect(_after_migration, sender=self)


def _before_migration(*, using: str, plan: Any = (), **_options: Any) -> None:
    from usage_billing.reports.sql import functions

    if plan:
        functions.drop_view(connections[using])


def _after_migration(*, using: str, **_options: Any) -> None:
    """Roles, policies, functions and the view follow from the models as they are now."""
    from usage_billing.models import DailyUsage, UsageRecord
    from usage_billing.reports.sql import functions
    from usage_billing.tenancy import row_level_security, seal

    connection = connections[using]
    if not {UsageRecord._meta.db_table, DailyUsage._meta.db_table} <= {*connection.introspection.table_names()}:
        return  # migrated back to nothing
    with transaction.atomic(using=using):
        if connection.vendor == "postgresql":
            try:
                seal.create(connection)
                row_level_security.build(connection)
            except (row_level_security.RolesMissingError, ImproperlyConfigured) as missing:
                raise CommandError(str(missing)) from missing
        functions.create(connection)
