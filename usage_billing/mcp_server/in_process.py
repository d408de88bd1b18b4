"""The API of the project that this process belongs to, as a WSGI application: asked as it would be by HTTP."""

from __future__ import annotations

from typing import Any

SUMMARY = "api/billing/usage/tokens/summary"


def application() -> Any:
    from django.core.handlers.wsgi import WSGIHandler  # here: with an address, no Django settings are needed

    return WSGIHandler()


def base_address() -> str:
    """The address below which the project has `usage_billing.urls`, with a host that it accepts; https, so that it does
    not redirect there."""
    from django.conf import settings
    from django.urls import reverse

    hosts = [host.removeprefix(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    return f"https://{hosts[0] if hosts else 'localhost'}{reverse('usage_billing:api-summary').removesuffix(SUMMARY)}"
