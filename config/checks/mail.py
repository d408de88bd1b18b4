"""E-mail of a production server; a part of `manage.py check --deploy`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

SMTP = "django.core.mail.backends.smtp.EmailBackend"
NOT_SENT = tuple(
    f"django.core.mail.backends.{name}.EmailBackend" for name in ("console", "filebased", "locmem", "dummy")
)


@register(Tags.security, deploy=True)
def mail_is_sent_and_encrypted(**_kwargs: Any) -> list[CheckMessage]:
    if settings.EMAIL_BACKEND in NOT_SENT:
        kind = settings.EMAIL_BACKEND.split(".")[-2]
        wrong = f"EMAIL_URL sends no e-mail (“{kind}”): messages go to a log, to files or nowhere."
    elif settings.EMAIL_BACKEND != SMTP or _is_local(settings.EMAIL_HOST):
        return []
    elif not (settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL):
        wrong = f"EMAIL_URL sends e-mail, and its password, to {settings.EMAIL_HOST} in plain text."
    else:
        return []
    return [
        Warning(
            wrong,
            hint="EMAIL_URL=smtp+tls://user:password@host:587, or smtp+ssl://…:465",
            id="usage_billing.W029",
        )
    ]


def _is_local(host: str) -> bool:
    """Tell whether the host is this machine: nobody can listen on the way there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in ("", "localhost")
