"""The checks that must pass before the service starts."""

from typing import Any

import pytest
from pytest_django import Settings

from config.checks.serving import cache_has_its_driver, signing_key_is_long_enough
from tests.support.configure import configure


@pytest.mark.parametrize(
    ("key", "found"),
    [("k" * 31, ["usage_billing.E001"]), ("k" * 32, []), ("ключ" * 4, []), ("k", ["usage_billing.E001"])],
)
def test_signing_key_has_32_bytes(settings: Settings, key: str, found: list[str]) -> None:
    configure(settings, TOKEN_KEY="", SECRET_KEY=key)
    assert [message.id for message in signing_key_is_long_enough()] == found


@pytest.mark.parametrize(
    ("cache", "found"),
    [
        ({"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}, []),
        ({"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "table"}, []),
        ({"BACKEND": "tests.config.checks.test_serving.NoDriver"}, ["usage_billing.E002"]),
    ],
)
def test_cache_has_its_driver(settings: Settings, cache: dict[str, Any], found: list[str]) -> None:
    settings.CACHES = {"default": cache}
    assert [message.id for message in cache_has_its_driver()] == found


class NoDriver:
    """Fails when its client is created, as Django's Redis cache does if the package is missing."""

    def __init__(self, *_given: object) -> None:
        pass

    def close(self, **_signal: object) -> None:
        """Do nothing; Django calls it after each request."""

    @property
    def _cache(self) -> object:
        raise ModuleNotFoundError("No module named 'redis'")
