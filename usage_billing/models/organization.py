"""Organisations that calls are attributed to, and their members."""

import zoneinfo
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

UNATTRIBUTED = "unattributed"
"""Slug of the reserved organisation for calls without an organisation."""


def default_timezone() -> str:
    return settings.TIME_ZONE


def default_language() -> str:
    return settings.LANGUAGE_CODE


def languages() -> list[tuple[str, Any]]:
    return list(settings.LANGUAGES)


def validate_timezone(name: str) -> None:
    if name not in zoneinfo.available_timezones():
        text = _("“%(name)s” is not a time zone. Write one such as Europe/Moscow.")
        raise ValidationError(text, params={"name": name})


class Organization(models.Model):
    """A tenant. Its time zone decides the billing day of a call."""

    name = models.CharField(_("name"), max_length=200)
    slug = models.SlugField(_("slug"), max_length=100, unique=True)
    external_key = models.CharField(
        _("key in the project"),
        max_length=100,
        unique=True,
        null=True,
        blank=True,
        editable=False,
        help_text=_("Of the project's own organisation, whose calls are charged to this one."),
    )
    timezone = models.CharField(_("time zone"), max_length=64, default=default_timezone, validators=[validate_timezone])
    language = models.CharField(
        _("language"),
        max_length=10,
        default=default_language,
        choices=languages,
        help_text=_("Of the e-mails that its owners get."),
    )
    closed_at = models.DateTimeField(
        _("closed at"), null=True, blank=True, help_text=_("An organisation with records is closed, not deleted.")
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        db_table = "usage_organization"
        ordering = ("name",)
        verbose_name = _("organisation")
        verbose_name_plural = _("organisations")

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.timezone)


class Membership(models.Model):
    """A user's role in an organisation: an owner sees all of its calls, a member their own."""

    class Role(models.TextChoices):
        OWNER = "owner", _("owner")
        MEMBER = "member", _("member")

    org = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="memberships", verbose_name=_("organisation")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="usage_memberships",
        verbose_name=_("user"),
    )
    role = models.CharField(_("role"), max_length=10, choices=Role.choices, default=Role.MEMBER)

    class Meta:
        db_table = "usage_membership"
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = (
            models.UniqueConstraint(fields=("org", "user"), name="membership_org_user"),
            models.CheckConstraint(condition=models.Q(role__in=("owner", "member")), name="membership_role"),
        )

    def __str__(self) -> str:
        return f"{self.user} · {self.org} · {self.get_role_display()}"
