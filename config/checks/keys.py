"""Secrets of a production server; a part of `manage.py check --deploy`."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

from usage_billing.auth.tokens import signing_key
from usage_billing.conf import conf

SECRET_LENGTH = 32
"""Characters of a safe secret: 16 bytes in hexadecimal."""
MAKE_ONE = "python3 -c 'import secrets; print(secrets.token_hex(32))'"


def _secrets() -> dict[str, str]:
    """Return the secrets that are set, by variable."""
    of_service = {
        "SECRET_KEY": str(settings.SECRET_KEY),
        "JWT_SIGNING_KEY": signing_key(),
        "METRICS_TOKEN": conf.METRICS_TOKEN,
        "CRON_SECRET": conf.CRON_SECRET,
    }
    return {name: secret for name, secret in of_service.items() if secret}


@register(Tags.security, deploy=True)
def secret_key_is_set(**_kwargs: Any) -> list[CheckMessage]:
    if getattr(settings, "SECRET_KEY_IS_SET", True):
        return []
    return [
        Warning(
            "SECRET_KEY is not set: servers do not start, and each command makes up a random key.",
            hint=f"Set it to the same long random text for all processes, and keep it: {MAKE_ONE}",
            id="usage_billing.W020",
        )
    ]


@register(Tags.security, deploy=True)
def each_secret_has_one_use(**_kwargs: Any) -> list[CheckMessage]:
    """Warn of equal secrets: learning one gives both, and neither can be changed alone."""
    return [
        Warning(
            f"{one} and {other} are the same secret.",
            hint=f"Set {other} to a random text of its own: {MAKE_ONE}",
            id="usage_billing.W021",
        )
        for (one, of_one), (other, of_other) in combinations(_secrets().items(), 2)
        if of_one == of_other
    ]


@register(Tags.security, deploy=True)
def no_secret_can_be_guessed(**_kwargs: Any) -> list[CheckMessage]:
    """Warn of short secrets. SECRET_KEY is Django's check (security.W009), the signing key is `usage_billing.E001`."""
    return [
        Warning(
            f"{name} has {len(secret)} characters: it can be guessed.",
            hint=f"Set it to a random text of {SECRET_LENGTH} characters or more: {MAKE_ONE}",
            id="usage_billing.W022",
        )
        for name, secret in _secrets().items()
        if name in ("METRICS_TOKEN", "CRON_SECRET") and len(secret) < SECRET_LENGTH
    ]


@register(Tags.security, deploy=True)
def metrics_have_a_token(**_kwargs: Any) -> list[CheckMessage]:
    if conf.METRICS_TOKEN:
        return []
    return [
        Warning(
            "METRICS_TOKEN is not set: every program and user of this machine may read /metrics.",
            hint=f"Set it, and configure Prometheus to send it as a bearer token: {MAKE_ONE}",
            id="usage_billing.W023",
        )
    ]
