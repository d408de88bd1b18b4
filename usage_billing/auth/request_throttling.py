"""How many requests the API takes: from a user, with a service token, and from an address that has not said who it is.

Counted in the default cache. Only a cache that all workers share holds the rate over all of them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle

from usage_billing.auth.client_address import client_address
from usage_billing.auth.service_tokens import Program
from usage_billing.auth.token_rate import seconds_to_wait
from usage_billing.conf import conf

if TYPE_CHECKING:
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)


class Rate(SimpleRateThrottle):
    """A rate of the settings; None: no limit. While the cache fails, requests are let in, with a warning."""

    def get_rate(self) -> str | None:
        # Read for each request, so that a changed setting counts.
        rate: str | None = conf.API_RATE_USER if self.scope == "user" else conf.API_RATE_ANONYMOUS
        return rate

    def allow_request(self, request: Request, view: APIView) -> bool:
        try:
            return super().allow_request(request, view)
        except Exception as error:  # noqa: BLE001  # each cache has errors of its own
            logger.warning("The cache that counts requests does not answer (%s): the request is let in.", error)
            return True


class UserRate(Rate):
    scope = "user"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        if not _is_authenticated(request) or isinstance(request.user, Program):
            return None
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk}


class TokenRate(BaseThrottle):
    """The rate of service tokens (`auth.token_rate`)."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        user: Any = request.user
        self.seconds = seconds_to_wait(user) if isinstance(user, Program) else 0
        return not self.seconds

    def wait(self) -> float:
        return self.seconds


class AnonymousRate(Rate):
    """By address. DRF asks it of requests that it lets in; `count_refusal` asks it of requests that are refused."""

    scope = "anonymous"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        if _is_authenticated(request):
            return None
        request.counted_as_anonymous = True  # type: ignore[attr-defined]
        return self.cache_format % {"scope": self.scope, "ident": client_address(request)}


def _is_authenticated(request: Request) -> bool:
    return bool(getattr(request.user, "is_authenticated", False))  # a project may have None for the anonymous user


def count_refusal(error: Exception, context: dict[str, Any]) -> Exception:
    """Count a 401 towards the rate of its address. Returns `error`, or `Throttled` where the rate is reached."""
    request = context.get("request")
    if not isinstance(error, NotAuthenticated | AuthenticationFailed) or request is None:
        return error
    if getattr(request, "counted_as_anonymous", False):
        return error
    rate = AnonymousRate()
    return error if rate.allow_request(request, context["view"]) else Throttled(rate.wait())
