"""Keys of providers, with which the proxy calls them."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from usage_billing.models.encryption import EncryptedField
from usage_billing.models.organization import Organization


class ProviderKey(models.Model):
    """The key that the proxy uses for an organisation; without an organisation, for all that have none of their own.

    secret: encrypted (`models.encryption`), never shown again. hint: its last four characters.
    """

    class Provider(models.TextChoices):
        OPENAI = "openai", "OpenAI"
        ANTHROPIC = "anthropic", "Anthropic"

    org = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("organisation")
    )
    provider = models.CharField(_("provider"), max_length=20, choices=Provider.choices)
    secret = EncryptedField(_("key"))
    hint = models.CharField(_("ends in"), max_length=4, blank=True, default="")
    by = models.CharField(_("saved by"), max_length=150, blank=True, default="")
    saved_at = models.DateTimeField(_("saved at"), default=timezone.now)

    class Meta:
        db_table = "usage_provider_key"
        ordering = ("provider", "id")
        verbose_name = _("provider key")
        verbose_name_plural = _("provider keys")
        constraints = (
            models.UniqueConstraint(fields=("org", "provider"), name="usage_provider_key_of_org"),
            models.UniqueConstraint(
                fields=("provider",), condition=models.Q(org__isnull=True), name="usage_provider_key_of_all"
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_provider_display()} …{self.hint}"
