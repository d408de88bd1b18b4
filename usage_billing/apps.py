"""Connects the app's parts when Django starts, and updates the database after each `migrate`."""

import logging
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import connections, transaction
from django.db.models.signals import post_delete, post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _

logger = logging.getLogger(__name__)


class UsageBillingConfig(AppConfig):
    name = "usage_billing"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = _("AI costs")

    def ready(self) -> None:
        from usage_billing.alerts import alert_thread, links
        from usage_billing.archive import storage
        from usage_billing.budgets import chores, guard
        from usage_billing.checks import configuration, files  # noqa: F401  # registers them
        from usage_billing.ledger import archived, drain_thread
        from usage_billing.recording import drain_signal, recorder
        from usage_billing.tenancy import checks as database_checks  # noqa: F401
        from usage_billing.tenancy import cluster_checks  # noqa: F401

        drain_signal.callbacks.append(drain_thread.wake)
        drain_thread.chores.append(recorder.note_losses)
        drain_thread.chores.append(alert_thread.start)
        drain_thread.chores.append(chores.run)
        links.page_sources.append(_page_of_alert)
        archived.finders.append(storage.find)
        guard.register()
        from usage_billing import signals

        post_delete.connect(signals.forget_user, sender=settings.AUTH_USER_MODEL)
        pre_migrate.connect(_before_migration, sender=self)
        post_migrate.connect(_after_migration, sender=self)


def _page_of_alert(firing: Any) -> str:
    from usage_billing.pages import alerts  # the pages are imported when they are needed

    return alerts.page_of(firing)


def _before_migration(*, using: str, plan: Any = (), **_options: Any) -> None:
    from usage_billing.reports.sql import functions

    if plan:
        functions.drop_view(connections[using])


def _after_migration(*, using: str, **_options: Any) -> None:
    """Create the functions and the view; with `ROW_LEVEL_SECURITY`, bring roles and policies up to date.

    It needs no more rights than the migrations themselves.
    """
    from usage_billing.conf import conf
    from usage_billing.models import DailyUsage, UsageRecord
    from usage_billing.reports.sql import functions
    from usage_billing.tenancy import distribution, row_level_security, seal, shards, workers

    connection = connections[using]
    if not {UsageRecord._meta.db_table, DailyUsage._meta.db_table} <= {*connection.introspection.table_names()}:
        return  # the migrations were reversed
    with transaction.atomic(using=using):
        if connection.vendor == "postgresql":
            try:
                seal.create(connection)
                with connection.cursor() as cursor:
                    if distribution.are_distributed(cursor):
                        shards.share_key(cursor)
            except (ImproperlyConfigured, workers.ClusterError) as missing:
                raise CommandError(str(missing)) from missing
        functions.create(connection)
    if connection.vendor == "postgresql" and conf.ROW_LEVEL_SECURITY:
        try:
            with transaction.atomic(using=using):
                row_level_security.secure(connection)
        except row_level_security.RolesMissingError as missing:
            # The tables exist, but only their owner sees rows until the roles exist too.
            logger.warning("%s Run `manage.py secure_database`.", missing)
