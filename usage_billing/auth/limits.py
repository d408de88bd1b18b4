"""Limits on attempts within a time, counted in the database and so over all workers.

An attempt is counted before it is made, so that many at once cannot pass together. An attempt that can succeed, such as
a log-in, is under way until `fail` or `give_back` says how it ended.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.crypto import salted_hmac

from usage_billing.models import ThrottleCount
from usage_billing.models.database import atomic

LONGEST_ATTEMPT = timedelta(seconds=30)
"""An attempt that is under way for longer counts as failed: its process has died."""
UNDER_WAY_S = 1
"""Seconds to wait when attempts that are under way fill a limit."""


@dataclass(frozen=True)
class Limit:
    """At most `most` attempts within any `window`. `key` names the subject, with people's input as a `digest`."""

    key: str
    most: int
    window: timedelta


def digest(text: str) -> str:
    """Hash a name: people type passwords into its field, so the database must not hold it."""
    cleaned = text.encode("utf-8", "surrogatepass")
    return salted_hmac("usage_billing.auth.limits", cleaned, algorithm="sha256").hexdigest()


def take(*limits: Limit) -> int:
    """Count one attempt towards each limit. If one of them is reached, count nothing and return the seconds to wait.

    Rows are locked in the order of their keys, so attempts at the same moment are counted one by one.
    """
    return _take(limits, "moments")


def begin(*limits: Limit) -> int:
    """Do as `take` for an attempt that may succeed: it is under way until `fail` or `give_back`."""
    return _take(limits, "under_way")


def _take(limits: Sequence[Limit], column: str) -> int:
    now = timezone.now()
    with atomic():
        counts = _locked(limits, now)
        seconds = max(_seconds(limit, counts[limit.key], now) for limit in limits)
        if not seconds:
            for count in counts.values():
                getattr(count, column).append(now.timestamp())
            _save(counts.values())
    return seconds


def fail(*limits: Limit) -> int:
    """Turn one attempt under way into a failure. Return the seconds to wait if failures have reached a limit."""
    now = timezone.now()
    with atomic():
        counts = _locked(limits, now)
        for count in counts.values():
            if count.under_way:
                count.under_way.pop(0)
            count.moments.append(now.timestamp())
        _save(counts.values())
    return max(_seconds_of_failures(limit, counts[limit.key], now) for limit in limits)


def give_back(first: Limit, *others: Limit) -> None:
    """Forget one successful attempt, all failures of the first limit, and the same failures in the other limits."""
    limits = (first, *others)
    with atomic():
        counts = _locked(limits, timezone.now())
        forgotten = set(counts[first.key].moments)
        for count in counts.values():
            count.moments = [moment for moment in count.moments if moment not in forgotten]
            if count.under_way:
                count.under_way.pop(0)
        _save(counts.values())


def _save(counts: Iterable[ThrottleCount]) -> None:
    ThrottleCount.objects.bulk_update(counts, ["moments", "under_way"])


def _locked(limits: Sequence[Limit], now: datetime) -> dict[str, ThrottleCount]:
    """Lock the limits' rows until the transaction ends; return them with the moments that still count."""
    ordered = sorted(limits, key=lambda limit: limit.key)
    # The update on conflict locks the row.
    ThrottleCount.objects.bulk_create(
        [ThrottleCount(key=limit.key, expires_at=now + limit.window) for limit in ordered],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["expires_at"],
    )
    windows = {limit.key: limit.window for limit in limits}
    counts = {count.key: count for count in ThrottleCount.objects.filter(key__in=windows)}
    dead = (now - LONGEST_ATTEMPT).timestamp()
    for key, count in counts.items():
        since = (now - windows[key]).timestamp()
        failed = [*count.moments, *(moment for moment in count.under_way if moment <= dead)]
        count.moments = sorted(moment for moment in failed if moment > since)
        count.under_way = [moment for moment in count.under_way if moment > dead]
    return counts


def _seconds(limit: Limit, count: ThrottleCount, now: datetime) -> int:
    """Return the seconds to wait for this limit."""
    if seconds := _seconds_of_failures(limit, count, now):
        return seconds
    return UNDER_WAY_S if len(count.moments) + len(count.under_way) >= limit.most else 0


def _seconds_of_failures(limit: Limit, count: ThrottleCount, now: datetime) -> int:
    if len(count.moments) < limit.most:
        return 0
    since = (now - limit.window).timestamp()
    return max(1, math.ceil(float(count.moments[-limit.most]) - since))
