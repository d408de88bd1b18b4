"""`check --deploy` reports weak settings of hosts, proxies, cache and links."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import CheckMessage
from pytest_django import Settings

from config.checks import web
from tests.support.configure import configure

LOCAL = "django.core.cache.backends.locmem.LocMemCache"
SHARED = "django.core.cache.backends.db.DatabaseCache"


@pytest.mark.parametrize(
    ("set_to", "check", "found"),
    [
        ({"ALLOWED_HOSTS": ["costs.example.com"]}, web.hosts_are_named, []),
        ({"ALLOWED_HOSTS": ["costs.example.com", "*"]}, web.hosts_are_named, ["usage_billing.W024"]),
        ({"BEHIND_TLS_PROXY": True, "TRUSTED_PROXIES": 1}, web.proxies_are_counted, []),
        ({"BEHIND_TLS_PROXY": False, "TRUSTED_PROXIES": 0}, web.proxies_are_counted, []),
        ({"BEHIND_TLS_PROXY": True, "TRUSTED_PROXIES": 0}, web.proxies_are_counted, ["usage_billing.W025"]),
        ({"BEHIND_TLS_PROXY": True, "TRUSTED_PROXIES": 6}, web.proxies_are_counted, ["usage_billing.W025"]),
        ({"CACHES": {"default": {"BACKEND": SHARED}}}, web.workers_count_requests_together, []),
        ({"CACHES": {"default": {"BACKEND": LOCAL}}}, web.workers_count_requests_together, ["usage_billing.W026"]),
        ({"PUBLIC_URL": ""}, web.links_in_mail_lead_to_https, ["usage_billing.W027"]),
        ({"PUBLIC_URL": "https://costs.example.com"}, web.links_in_mail_lead_to_https, []),
        ({"PUBLIC_URL": "http://costs.example.com"}, web.links_in_mail_lead_to_https, ["usage_billing.W027"]),
        ({"ALLOW_DEBUG_SERVER": False}, web.debug_is_not_allowed, []),
        ({"ALLOW_DEBUG_SERVER": True}, web.debug_is_not_allowed, ["usage_billing.W028"]),
    ],
)
def test_weak_settings_are_reported(
    settings: Settings, set_to: dict[str, Any], check: Callable[..., list[CheckMessage]], found: list[str]
) -> None:
    configure(settings, **set_to)
    said = check()
    assert [message.id for message in said] == found
    assert all(message.hint for message in said)
