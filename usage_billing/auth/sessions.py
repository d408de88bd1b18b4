"""Lists and ends a person's sessions, in browsers and at the API."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from usage_billing.auth.client_address import client_address
from usage_billing.models import Session
from usage_billing.models.session import LONGEST_USER_AGENT

MOST_LISTED = 200
"""A program that logs in for each request leaves many sessions."""


def note_use(request: Any, row_key: str, **changes: Any) -> int:
    """Record the time and address of a session's use. Returns 0 if the session has ended."""
    agent = str(request.META.get("HTTP_USER_AGENT", "")).replace("\0", "")[:LONGEST_USER_AGENT]
    return Session.objects.filter(pk=row_key).update(
        last_seen_at=timezone.now(), address=client_address(request) or "", user_agent=agent, **changes
    )


def live_sessions(user: User) -> list[Session]:
    """Return the open sessions, last used first, without the sessions from before a change of password."""
    rows = Session.objects.filter(user=user, expire_date__gt=timezone.now()).order_by("-last_seen_at")
    now = user.get_session_auth_hash()
    return [
        row for row in rows[:MOST_LISTED] if constant_time_compare(row.get_decoded().get(HASH_SESSION_KEY, ""), now)
    ]


def end_session(user: User, row_key: str) -> bool:
    """End one of the person's sessions. Returns False if they have no such session."""
    if "\0" in row_key:
        return False  # PostgreSQL has no NUL in texts
    ended, _by_model = Session.objects.filter(user=user, pk=row_key).delete()
    return bool(ended)


def end_other_sessions(user: User, row_key: str | None) -> int:
    """End all sessions of the person except this one. Returns how many ended."""
    ended, _by_model = Session.objects.filter(user=user).exclude(pk=row_key).delete()
    return ended
