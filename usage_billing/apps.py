"""The Django application of the ledger."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class UsageBillingConfig(AppConfig):
    name = "usage_billing"
    verbose_name = _("AI usage")

    def ready(self) -> None:
        from usage_billing import checks  # noqa: F401  # registers them
