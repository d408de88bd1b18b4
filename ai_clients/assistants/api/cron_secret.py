"""Lets the holder of `CRON_SECRET` start the jobs."""

from __future__ import annotations

import hmac

from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from usage_billing.conf import conf

CRON = "cron"


class IsCron(BasePermission):
    """Allows requests that `CronSecret` has authenticated."""

    def has_permission(self, request: Request, view: object) -> bool:
        return bool(request.auth == CRON)


class CronSecretScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The name of `CronSecret` in the schema."""

    target_class = "ai_clients.assistants.api.cron_secret.CronSecret"
    name = "cronSecret"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "The `CRON_SECRET` of the settings, for schedulers."}


class CronSecret(BaseAuthentication):
    """Takes `Authorization: Bearer $CRON_SECRET` alone: no token, no session.

    The request has no user, so that its AI calls are charged to none, even if it carries somebody's cookies.
    """

    def authenticate(self, request: Request) -> tuple[AnonymousUser, str]:
        given = get_authorization_header(request)
        secret = conf.CRON_SECRET.encode()
        is_right = hmac.compare_digest(given, b"Bearer " + secret)
        if not (secret and is_right):
            raise AuthenticationFailed(_("Send the header “Authorization: Bearer” with the CRON_SECRET."))
        return AnonymousUser(), CRON

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
