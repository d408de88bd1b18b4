"""The limits on wrong passwords, the same for the pages, the admin and the API.

Three limits count together. A name from one address, and all names from one address, stop a guesser at one place. A
name from all addresses stops a guesser with many addresses. That third limit does not apply to the person themselves:
browsers that they have logged in with carry a signed cookie, and addresses with a session of theirs are known (OWASP,
“Device cookies”). On a new device at a new address they can get in by a new password, with the link by e-mail.

`auth.limits` counts; `auth.axes_handler` applies the limits to each log-in.
"""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext

from usage_billing.auth.limits import Limit, digest
from usage_billing.conf import conf
from usage_billing.models import Session

DEVICE_COOKIE_AGE = timedelta(days=365)
_DEVICE_SALT = "usage_billing.auth.device"


def limits_of_attempt(request: Any, name: str | None, address: str) -> list[Limit]:
    """Return the limits that a log-in of this name counts towards; the limit of the name and address comes first."""
    name = normalized(name)
    soon, day = settings.AXES_COOLOFF_TIME, timedelta(days=1)
    limits = [
        Limit(f"login-pair:{digest(name)}:{address}", settings.AXES_FAILURE_LIMIT, soon),
        Limit(f"login-address:{address}", conf.LOGIN_FAILURES_PER_ADDRESS, soon),
    ]
    if device := _device(request, name):
        # A stolen cookie allows no more guesses than no cookie.
        limits.append(Limit(f"login-device:{device}", conf.LOGIN_FAILURES_PER_ACCOUNT, day))
    elif not _has_session_at(address, name):
        limits.append(Limit(f"login-account:{digest(name)}", conf.LOGIN_FAILURES_PER_ACCOUNT, day))
    return limits


def normalized(name: str | None) -> str:
    """Normalize a name as Django's log-in form does."""
    return unicodedata.normalize("NFKC", name or "")


def _has_session_at(address: str, name: str) -> bool:
    if not address or "\0" in name:
        return False
    users = get_user_model()
    keys = list(users._default_manager.filter(**{users.USERNAME_FIELD: name}).values_list("pk", flat=True))
    return Session.objects.filter(user_id__in=keys, address=address, expire_date__gt=timezone.now()).exists()


# ── Devices ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _cookie_name(name: str) -> str:
    """One cookie for each person: several may use a browser."""
    return f"device-{digest(name)[:16]}"


def _device(request: Any, name: str) -> str | None:
    """Return the id of the device, if the person has logged in with it before."""
    max_age = int(DEVICE_COOKIE_AGE.total_seconds())
    device = request.get_signed_cookie(_cookie_name(name), default=None, salt=_DEVICE_SALT, max_age=max_age)
    return None if device is None else str(device)


def remember_device(request: Any, response: HttpResponse) -> None:
    """Set the device cookie in the browser of a person who has just logged in."""
    name = getattr(request, "known_device", None)
    if name is None:
        return
    response.set_signed_cookie(
        _cookie_name(normalized(name)),
        _device(request, normalized(name)) or uuid4().hex,
        salt=_DEVICE_SALT,
        max_age=int(DEVICE_COOKIE_AGE.total_seconds()),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


# ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def locked_out(request: HttpRequest, *_of_axes: Any) -> HttpResponse:
    """Render the page for a throttled log-in (`AXES_LOCKOUT_CALLABLE`). `api.tokens` answers for the API."""
    text = gettext(
        "Too many log-ins had a wrong name or password. To keep the accounts safe, further ones are refused for now."
    )
    return too_many_attempts(request, text, request.login_wait)  # type: ignore[attr-defined]


def too_many_attempts(request: HttpRequest, text: str, seconds: int) -> HttpResponse:
    """Render a page that says why, and when to try again; 429 with Retry-After."""
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
