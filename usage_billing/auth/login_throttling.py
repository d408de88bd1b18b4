"""Log-in throttling: whoever guesses passwords has to wait, on the pages, in the admin and at the API alike.

Three limits count together. A name from one address, and all names from one address, hold a guesser at one place. A
name from all addresses holds a guesser who has many, and nobody else: browsers that the person has logged in with carry
a signed cookie, and addresses that they have a session at are known. Those are not held by it (OWASP, “Device
cookies”). On a new device at a new address, the person can still get in by a new password, with the link by e-mail.

django-axes watches the log-ins and answers for those refused; the counting is `auth.limits`.
"""

from __future__ import annotations

import logging
import time
import unicodedata
from datetime import timedelta
from typing import Any
from uuid import uuid4

from axes.handlers.base import AxesHandler
from axes.helpers import get_client_username
from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext

from usage_billing.auth.limits import UNDER_WAY_S, Limit, begin, digest, fail, give_back
from usage_billing.conf import conf
from usage_billing.models import Session, ThrottleCount

logger = logging.getLogger(__name__)

TRIES, PAUSE_S = 30, 0.1
"""How often, and after which pause, an attempt is let in again where others of its name are under way."""
DEVICE_COOKIE_AGE = timedelta(days=365)
_DEVICE_SALT = "usage_billing.auth.device"


class LoginThrottling(AxesHandler):  # type: ignore[misc]  # axes has no types
    """An attempt is counted before the password is looked at, and given back if it was right."""

    def is_allowed(self, request: Any, credentials: dict[str, Any] | None = None) -> bool:
        limits = _limits_of_attempt(request, credentials)
        for _ in range(TRIES):
            request.login_wait = begin(*limits)
            if request.login_wait != UNDER_WAY_S:
                break
            time.sleep(PAUSE_S)  # others of the same name are at it; with the right password they do not count
        return not request.login_wait

    def user_login_failed(self, sender: Any, credentials: dict[str, Any], request: Any = None, **_signal: Any) -> None:
        """The failure that reaches a limit is answered with the wait already."""
        if request is None:
            return
        request.axes_credentials = credentials
        if not request.axes_locked_out:
            request.login_wait = fail(*_limits_of_attempt(request, credentials))
            request.axes_locked_out = bool(request.login_wait)
        logger.warning("A log-in from %s failed; it waits for %d s.", request.axes_ip_address, request.login_wait)

    def user_logged_in(self, sender: Any, request: Any, user: Any, **_signal: Any) -> None:
        name = user.get_username()
        give_back(*_limits_of_attempt(request, {"username": name}))
        request.known_device = name

    def reset_attempts(
        self, *, ip_address: str | None = None, username: str | None = None, ip_or_username: bool = False
    ) -> int:
        """What `axes_reset`, `axes_reset_ip` and `axes_reset_username` do. Returns how many counts were deleted."""
        counts = ThrottleCount.objects.filter(key__startswith="login-")
        of_address = Q(key__endswith=f":{ip_address}") if ip_address else Q()
        of_name = Q(key__contains=digest(_cleaned(username))) if username else Q()
        counted, _by_model = counts.filter(
            (of_address | of_name) if ip_or_username else (of_address & of_name)
        ).delete()
        return counted


def _limits_of_attempt(request: Any, credentials: dict[str, Any] | None) -> list[Limit]:
    """The limits that the attempt of this request counts towards: a log-in that succeeds would change what they are."""
    if not hasattr(request, "login_limits"):
        request.login_limits = _limits(request, credentials)
    limits: list[Limit] = request.login_limits
    return limits


def _limits(request: Any, credentials: dict[str, Any] | None) -> list[Limit]:
    """That of the name from the address comes first."""
    name = _cleaned(get_client_username(request, credentials))
    address = request.axes_ip_address or ""
    soon, day = settings.AXES_COOLOFF_TIME, timedelta(days=1)
    limits = [
        Limit(f"login-pair:{digest(name)}:{address}", settings.AXES_FAILURE_LIMIT, soon),
        Limit(f"login-address:{address}", conf.LOGIN_FAILURES_PER_ADDRESS, soon),
    ]
    if device := _device(request, name):
        # A stolen cookie buys no more guesses than none.
        limits.append(Limit(f"login-device:{device}", conf.LOGIN_FAILURES_PER_ACCOUNT, day))
    elif not _has_session_at(address, name):
        limits.append(Limit(f"login-account:{digest(name)}", conf.LOGIN_FAILURES_PER_ACCOUNT, day))
    return limits


def _cleaned(name: str | None) -> str:
    """As the form of Django's log-in reads it."""
    return unicodedata.normalize("NFKC", name or "")


def _has_session_at(address: str, name: str) -> bool:
    if not address or "\0" in name:
        return False
    return Session.objects.filter(user__username=name, address=address, expire_date__gt=timezone.now()).exists()


# ── Devices ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _cookie_name(name: str) -> str:
    """One cookie a person: a browser may know several."""
    return f"device-{digest(name)[:16]}"


def _device(request: Any, name: str) -> str | None:
    """The id of the device, if the person has logged in with it before."""
    max_age = int(DEVICE_COOKIE_AGE.total_seconds())
    device = request.get_signed_cookie(_cookie_name(name), default=None, salt=_DEVICE_SALT, max_age=max_age)
    return None if device is None else str(device)


def remember_device(request: Any, response: HttpResponse) -> None:
    """Give the browser of a person who has just logged in its cookie."""
    name = getattr(request, "known_device", None)
    if name is None:
        return
    response.set_signed_cookie(
        _cookie_name(_cleaned(name)),
        _device(request, _cleaned(name)) or uuid4().hex,
        salt=_DEVICE_SALT,
        max_age=int(DEVICE_COOKIE_AGE.total_seconds()),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


# ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def locked_out(request: HttpRequest, *_of_axes: Any) -> HttpResponse:
    """The page for who has to wait for the log-in. The API has its own answer, in `api.tokens`."""
    text = gettext(
        "Too many log-ins had a wrong name or password. To keep the accounts safe, further ones are refused for now."
    )
    return too_many_attempts(request, text, request.login_wait)  # type: ignore[attr-defined]


def too_many_attempts(request: HttpRequest, text: str, seconds: int) -> HttpResponse:
    """A page that says why, and when to try again; 429 with Retry-After."""
    context = {
        "title": gettext("Too many failed attempts"),
        "text": text,
        "minutes": -(-seconds // 60),
        "again": request.get_full_path(),
        "may_reset": bool(conf.PUBLIC_URL) and not request.user.is_authenticated,
    }
    response = render(request, "usage_billing/locked_out.html", context, status=429)
    response["Retry-After"] = str(seconds)
    add_never_cache_headers(response)
    return response
