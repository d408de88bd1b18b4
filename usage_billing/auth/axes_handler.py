"""Connects django-axes to our limits (`AXES_HANDLER`): axes watches the log-ins and answers the refused ones.

A part of the service. A project that installs the app keeps its own log-in, and needs no axes.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from axes.handlers.base import AxesHandler
from axes.helpers import get_client_username
from django.db.models import Q

from usage_billing.auth.limits import UNDER_WAY_S, Limit, begin, digest, fail, give_back
from usage_billing.auth.login_throttling import limits_of_attempt, normalized
from usage_billing.models import ThrottleCount

logger = logging.getLogger(__name__)

TRIES, PAUSE_S = 30, 0.1
"""An attempt waits this often, and this long, while other attempts with the same name are under way."""


class LoginThrottling(AxesHandler):  # type: ignore[misc]  # axes has no types
    """Counts an attempt before the password is checked, and takes the count back if the password was right."""

    def is_allowed(self, request: Any, credentials: dict[str, Any] | None = None) -> bool:
        limits = _limits(request, credentials)
        for _ in range(TRIES):
            request.login_wait = begin(*limits)
            if request.login_wait != UNDER_WAY_S:
                break
            time.sleep(PAUSE_S)  # the attempts under way may have the right password, and then do not count
        return not request.login_wait

    def user_login_failed(self, sender: Any, credentials: dict[str, Any], request: Any = None, **_signal: Any) -> None:
        """Count a failure. The one that reaches a limit is answered as throttled already."""
        if request is None:
            return
        request.axes_credentials = credentials
        if not request.axes_locked_out:
            request.login_wait = fail(*_limits(request, credentials))
            request.axes_locked_out = bool(request.login_wait)
        logger.warning("A log-in from %s failed; it waits for %d s.", request.axes_ip_address, request.login_wait)

    def user_logged_in(self, sender: Any, request: Any, user: Any, **_signal: Any) -> None:
        name = user.get_username()
        give_back(*_limits(request, {"username": name}))
        request.known_device = name

    def reset_attempts(
        self, *, ip_address: str | None = None, username: str | None = None, ip_or_username: bool = False
    ) -> int:
        """Implement `axes_reset`, `axes_reset_ip` and `axes_reset_username`; return how many counts were deleted."""
        counts = ThrottleCount.objects.filter(key__startswith="login-")
        of_address = Q(key__endswith=f":{ip_address}") if ip_address else Q()
        of_name = Q(key__contains=digest(normalized(username))) if username else Q()
        counted, _by_model = counts.filter(
            (of_address | of_name) if ip_or_username else (of_address & of_name)
        ).delete()
        return counted


def _limits(request: Any, credentials: dict[str, Any] | None) -> list[Limit]:
    """Return the limits of this request's attempt, found once: a successful log-in would change them."""
    if not hasattr(request, "login_limits"):
        name = get_client_username(request, credentials)
        request.login_limits = limits_of_attempt(request, name, request.axes_ip_address or "")
    limits: list[Limit] = request.login_limits
    return limits
