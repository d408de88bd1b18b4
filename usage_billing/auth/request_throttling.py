"""How many requests the API takes: from a user, and from an address that has not said who it is.

Counted in the default cache. Only a cache that all workers share (CACHE_URL) holds the rate over all of them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, Throttled
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import SimpleRateThrottle

from usage_billing.auth.client_address import client_address

if TYPE_CHECKING:
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)


class Rate(SimpleRateThrottle):
    """A rate of the settings. Where the cache is away nobody is held back: the numbers are worth more than the rate."""

    def get_rate(self) -> str | None:
        # Read each time, so that a changed setting counts. None: no limit.
        rate = api_settings.DEFAULT_THROTTLE_RATES[self.scope or ""]
        return None if rate is None else str(rate)

    def allow_request(self, request: Request, view: APIView) -> bool:
        try:
            return super().allow_request(request, view)
        except Exception as error:  # noqa: BLE001  # each cache has errors of its own
            logger.warning("The cache that counts requests does not answer (%s): nobody is held back.", error)
            return True


class UserRate(Rate):
    scope = "user"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        if not request.user.is_authenticated:
            return None
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk}


class AnonymousRate(Rate):
    """By address. DRF asks it only of those whom it lets in; `instead_of` asks it of those whom it refuses."""

    scope = "anonymous"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        return None if request.user.is_authenticated else self.of_address(request)

    def of_address(self, request: Request) -> str:
        request.counted_as_anonymous = True  # type: ignore[attr-defined]
        return self.cache_format % {"scope": self.scope, "ident": client_address(request)}


class RefusedRate(AnonymousRate):
    """The same count, without looking at who it is: after a refusal that would be tried, and fail, again."""

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        return self.of_address(request)


def instead_of(error: Exception, context: dict[str, Any]) -> Exception:
    """`error`, or, where it is one more 401 than the rate of its address allows, `Throttled`."""
    request = context.get("request")
    if not isinstance(error, NotAuthenticated | AuthenticationFailed) or request is None:
        return error
    if getattr(request, "counted_as_anonymous", False):
        return error
    rate = RefusedRate()
    return error if rate.allow_request(request, context["view"]) else Throttled(rate.wait())
