"""Service tokens: revocable credentials of programs, and the history of each."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from usage_billing.models.organization import Organization

PREFIX_LENGTH = 12


class ServiceToken(models.Model):
    """A credential of a program. It acts for one organisation, or for all where `org` is NULL (superadmins make those).

    digest: SHA-256 of the whole token, which is shown once, when it is made. prefix: its beginning, by which people
    recognise it. scopes: values of `Scope`. allowed_models: those that it may call by the proxy; empty: all.
    expires_at: also the end of the overlap of a token that was rotated. by: a name, because it outlives the user.
    """

    class Scope(models.TextChoices):
        INGEST = "ingest", _("send usage in")
        PROXY = "proxy", _("call providers by the proxy")
        READ = "read", _("read reports")
        BUDGETS = "budgets", _("read and change budgets")

    org = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("organisation")
    )
    name = models.CharField(_("name"), max_length=64)
    prefix = models.CharField(_("token"), max_length=PREFIX_LENGTH)
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(_("may"), default=list)
    allowed_models = models.JSONField(_("models"), default=list, blank=True)
    by = models.CharField(_("made by"), max_length=150, blank=True, default="")
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True)

    class Meta:
        db_table = "usage_service_token"
        ordering = ("name", "id")
        verbose_name = _("service token")
        verbose_name_plural = _("service tokens")

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class ServiceTokenChange(models.Model):
    """What happened to a token: it was made, rotated or revoked, when and by whom. It outlives the token."""

    class Kind(models.TextChoices):
        CREATED = "created", _("created")
        ROTATED = "rotated", _("rotated")
        REVOKED = "revoked", _("revoked")

    org = models.ForeignKey(Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    token = models.ForeignKey(ServiceToken, on_delete=models.DO_NOTHING, db_constraint=False, related_name="changes")
    token_name = models.CharField(_("service token"), max_length=64)
    kind = models.CharField(_("what happened"), max_length=7, choices=Kind.choices)
    by = models.CharField(_("by"), max_length=150, blank=True, default="")
    at = models.DateTimeField(_("at"), default=timezone.now)

    class Meta:
        db_table = "usage_service_token_change"
        ordering = ("-at", "-id")
        verbose_name = _("change of a service token")
        verbose_name_plural = _("changes of service tokens")

    def __str__(self) -> str:
        return f"{self.token_name}: {self.kind}"
