"""Checks that must pass before the service answers: run by `manage.py check`, and by each server as it starts."""

from typing import Any

from django.core.cache import caches
from django.core.checks import CheckMessage, Error, register

from config.serving import SERVING
from usage_billing.auth.tokens import signing_key

SIGNING_KEY_BYTES = 32
"""RFC 7518, section 3.2: HS256 takes a key of at least the size of its hash."""


@register(SERVING)
def signing_key_is_long_enough(**_kwargs: Any) -> list[CheckMessage]:
    length = len(signing_key().encode())
    if length >= SIGNING_KEY_BYTES:
        return []
    return [
        Error(
            f"The key that signs the API's tokens has {length} bytes; it needs {SIGNING_KEY_BYTES} or more.",
            hint="Set SECRET_KEY, or JWT_SIGNING_KEY if you have one, to a long random text: "
            "python3 -c 'import secrets; print(secrets.token_urlsafe(50))'",
            id="usage_billing.E001",
        )
    ]


@register(SERVING)
def cache_has_its_driver(**_kwargs: Any) -> list[CheckMessage]:
    """The drivers of Redis and Memcached are separate packages. Without one, every request to the API would fail."""
    try:
        # Building the client imports the driver and connects to nothing.
        getattr(caches["default"], "_cache", None)
    except ImportError as missing:
        return [
            Error(
                f"The cache of CACHE_URL has no driver: {missing}.",
                hint="Install the package, or name another cache, such as dbcache://TABLE after `createcachetable`.",
                id="usage_billing.E002",
            )
        ]
    return []
