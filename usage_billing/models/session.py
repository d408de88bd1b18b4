"""Sessions of people in browsers and of programs at the API."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

LONGEST_USER_AGENT = 300


class Session(AbstractBaseSession):
    """One session; deleting the row ends it.

    `session_key` is the SHA-256 of the key in the browser or token, so that a copy of this table opens no session.
    `address` comes from `client_address`.
    """

    class Kind(models.TextChoices):
        BROWSER = "browser", _("browser")
        API = "api", _("API")

    session_key = models.CharField(_("session key"), max_length=64, primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        null=True,
        related_name="+",
        verbose_name=_("user"),
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.BROWSER)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen at"), default=timezone.now)
    address = models.CharField(_("address"), max_length=45, blank=True, default="")
    user_agent = models.CharField(_("browser"), max_length=LONGEST_USER_AGENT, blank=True, default="")

    class Meta(AbstractBaseSession.Meta):
        db_table = "usage_session"
        constraints = (models.CheckConstraint(name="session_kind", condition=models.Q(kind__in=("browser", "api"))),)

    def save(self, **options: Any) -> None:
        """Save. An update leaves the columns that `auth.sessions` maintains."""
        if options.get("force_update"):
            options["update_fields"] = ("session_data", "expire_date", "user")
        super().save(**options)

    @classmethod
    def get_session_store_class(cls) -> Any:
        return import_module(settings.SESSION_ENGINE).SessionStore
