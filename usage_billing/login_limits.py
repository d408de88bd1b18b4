"""Who guesses passwords has to wait, on the pages, in the admin and at the API alike.

django-axes counts the failures in the database, so that they hold across workers and restarts. It counts by name and
address together: a stranger elsewhere can lock nobody out. Many names from one address have a limit of their own.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_username, get_cool_off
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Q, QuerySet, Sum
from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext


class LoginLimits(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    """`AXES_FAILURE_LIMIT` failures of a name from an address, `LOGIN_FAILURES_PER_ADDRESS` of all names from it."""

    def get_failures(self, request: Any, credentials: dict[str, Any] | None = None) -> int:
        """Failures towards `AXES_FAILURE_LIMIT`, to which those of the address are scaled."""
        username = get_client_username(request, credentials)
        failures = _recent(request).aggregate(
            pair=Sum("failures_since_start", filter=Q(username=username), default=0),
            address=Sum("failures_since_start", default=0),
        )
        scaled = failures["address"] * settings.AXES_FAILURE_LIMIT // settings.LOGIN_FAILURES_PER_ADDRESS
        return int(max(failures["pair"], scaled))


def seconds_locked(request: Any) -> int:
    """For how many seconds more a request that axes has refused would be refused; at least 1."""
    username = get_client_username(request, request.axes_credentials)
    cool_off = get_cool_off(request) or timedelta()
    attempts = list(
        _recent(request).order_by("attempt_time").values_list("username", "failures_since_start", "attempt_time")
    )
    address = [(failures, at) for _name, failures, at in attempts]
    pair = [(failures, at) for name, failures, at in attempts if name == username]
    last = [
        *_holding(pair, settings.AXES_FAILURE_LIMIT),
        *_holding(address, settings.LOGIN_FAILURES_PER_ADDRESS),
    ]
    now = timezone.now()
    return max(1, *(math.ceil((at + cool_off - now).total_seconds()) for at in last))


def _recent(request: Any) -> QuerySet[Any]:
    """The failures from this address that have not cooled off: a row for each name and browser."""
    attempts: QuerySet[Any] = AccessAttempt.objects.filter(
        ip_address=request.axes_ip_address, attempt_time__gte=get_cool_off_threshold(request)
    )
    return attempts


def _holding(attempts: list[tuple[int, datetime]], limit: int) -> list[datetime]:
    """The moments, oldest first, of the attempts that have to cool off until fewer failures than `limit` are left."""
    left = sum(failures for failures, _at in attempts)
    holding = []
    for failures, at in attempts:
        if left < limit:
            break
        holding.append(at)
        left -= failures
    return holding


def locked_out(request: HttpRequest, *_of_axes: Any) -> HttpResponse:
    """The page for who has to wait; 429 with Retry-After. The API has its own answer, in `api.tokens`."""
    seconds = seconds_locked(request)
    context = {
        "title": gettext("Too many failed attempts"),
        "minutes": -(-seconds // 60),
        "again": request.get_full_path(),
    }
    response = render(request, "usage_billing/locked_out.html", context, status=429)
    response["Retry-After"] = str(seconds)
    add_never_cache_headers(response)
    return response


@receiver(pre_save, sender=AccessAttempt)
def forget_what_was_sent(instance: Any, **_signal: Any) -> None:
    """Axes keeps the form, with the known password field masked. People type passwords into the wrong field too."""
    instance.get_data = instance.post_data = ""
