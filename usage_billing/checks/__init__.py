"""What must be right before anything is served; a part of `manage.py check`, and asked by the servers as they start.

The modules beside it have what `check --deploy` says besides, subject by subject.
"""

from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.checks import CheckMessage, Error, register

SERVING = "serving"
"""The tag of checks that a server runs, too."""

SIGNING_KEY_BYTES = 32
"""RFC 7518, section 3.2: HS256 takes a key of at least the size of its hash."""


@register(SERVING)
def signing_key_is_long_enough(**_kwargs: Any) -> list[CheckMessage]:
    length = len(str(settings.SIMPLE_JWT["SIGNING_KEY"]).encode())
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
    """Those of Redis and Memcached are packages of their own. Without one every request to the API would fail."""
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
