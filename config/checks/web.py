"""Hosts, proxies, cache and links of a production server; a part of `manage.py check --deploy`.

Django itself checks plain HTTP, cookies, HSTS and DEBUG: security.W004, W008, W012, W016, W018.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

from usage_billing.conf import conf

MOST_PROXIES = 5
"""Four are usual at most: a content network, a load balancer, an ingress and a proxy beside the server."""
PROCESS_CACHES = ("django.core.cache.backends.locmem.LocMemCache", "django.core.cache.backends.dummy.DummyCache")


@register(Tags.security, deploy=True)
def hosts_are_named(**_kwargs: Any) -> list[CheckMessage]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Warning(
            "ALLOWED_HOSTS has “*”: the sender of a request chooses the host of the links in the answer.",
            hint="Name your hosts: ALLOWED_HOSTS=costs.example.com,127.0.0.1",
            id="usage_billing.W024",
        )
    ]


@register(Tags.security, deploy=True)
def proxies_are_counted(**_kwargs: Any) -> list[CheckMessage]:
    count, is_behind_proxy = conf.TRUSTED_PROXIES, getattr(settings, "BEHIND_TLS_PROXY", False)
    if is_behind_proxy and count == 0:
        wrong = "TRUSTED_PROXIES is 0 behind a TLS proxy: all clients have the proxy's address and share one limit."
    elif count > MOST_PROXIES:
        wrong = f"TRUSTED_PROXIES is {count}: with fewer proxies than that, clients can forge their address."
    else:
        return []
    return [
        Warning(
            wrong,
            hint="Set TRUSTED_PROXIES to the number of proxies that a request passes and that add to "
            "X-Forwarded-For; 1 with deploy/nginx.conf.example or deploy/Caddyfile.example.",
            id="usage_billing.W025",
        )
    ]


@register(Tags.security, deploy=True)
def workers_count_requests_together(**_kwargs: Any) -> list[CheckMessage]:
    if settings.CACHES["default"]["BACKEND"] not in PROCESS_CACHES:
        return []
    return [
        Warning(
            "CACHE_URL names no shared cache: each worker counts the API's requests by itself, so together they "
            "allow a multiple of API_RATE_USER, API_RATE_TOKEN and API_RATE_ANONYMOUS.",
            hint="CACHE_URL=filecache:///var/lib/ai-costs/cache for one machine, redis://… for several.",
            id="usage_billing.W026",
        )
    ]


@register(Tags.security, deploy=True)
def links_in_mail_lead_to_https(**_kwargs: Any) -> list[CheckMessage]:
    address = conf.PUBLIC_URL
    if address.startswith("https://"):
        return []
    wrong = (
        f"PUBLIC_URL is {address}: links in e-mails lead there without TLS."
        if address
        else "PUBLIC_URL is not set: people cannot reset their password by e-mail."
    )
    return [
        Warning(
            wrong,
            hint="PUBLIC_URL=https://costs.example.com",
            id="usage_billing.W027",
        )
    ]


@register(Tags.security, deploy=True)
def debug_is_not_allowed(**_kwargs: Any) -> list[CheckMessage]:
    if not getattr(settings, "ALLOW_DEBUG_SERVER", False):
        return []
    return [
        Warning(
            "ALLOW_DEBUG_SERVER is set: with DEBUG=1, error pages show settings and source.",
            hint="Remove it from the environment and from .env.",
            id="usage_billing.W028",
        )
    ]
