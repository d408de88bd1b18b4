"""Counts that hold over all workers: how often something may be tried within a time.

Kept in the database. An attempt is counted before it is made, so that many at once cannot pass together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from usage_billing.models import ThrottleCount


@dataclass(frozen=True)
class Limit:
    """At most `most` attempts within any `window`. `key` says of what; what people typed is in it as a `digest`."""

    key: str
    most: int
    window: timedelta


def digest(text: str) -> str:
    """People type passwords into the field for the name: the database keeps neither."""
    cleaned = text.encode("utf-8", "surrogatepass")
    return salted_hmac("usage_billing.auth.limits", cleaned, algorithm="sha256").hexdigest()


def take(*limits: Limit) -> int:
    """Count one attempt towards each limit. If one of them is reached, count nothing and return the seconds to wait.

    The rows are locked in the order of their keys, so attempts at the same moment are counted one after the other.
    """
    now = timezone.now()
    with transaction.atomic():
        counts = _locked(limits, now)
        seconds = max(_seconds(limit, counts[limit.key], now) for limit in limits)
        if not seconds:
            for count in counts.values():
                count.moments.append(now.timestamp())
            ThrottleCount.objects.bulk_update(counts.values(), ["moments"])
    return seconds


def seconds_to_wait(*limits: Limit) -> int:
    """The seconds until `take` counts another attempt; 0: it would now."""
    now = timezone.now()
    counts = {count.key: count for count in ThrottleCount.objects.filter(key__in=[limit.key for limit in limits])}
    return max(_seconds(limit, counts[limit.key], now) if limit.key in counts else 0 for limit in limits)


def give_back(first: Limit, *others: Limit) -> None:
    """Forget all attempts of the first limit, and those same attempts in the others."""
    limits = (first, *others)
    with transaction.atomic():
        counts = _locked(limits, timezone.now())
        for moment in list(counts[first.key].moments):
            for count in counts.values():
                if moment in count.moments:
                    count.moments.remove(moment)
        ThrottleCount.objects.bulk_update(counts.values(), ["moments"])


def _locked(limits: Sequence[Limit], now: datetime) -> dict[str, ThrottleCount]:
    """The limits' rows, locked until the transaction ends, with the moments that still count."""
    ordered = sorted(limits, key=lambda limit: limit.key)
    # On a conflict the row is updated, not left alone: that is what locks it.
    ThrottleCount.objects.bulk_create(
        [ThrottleCount(key=limit.key, expires_at=now + limit.window) for limit in ordered],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["expires_at"],
    )
    windows = {limit.key: limit.window for limit in limits}
    counts = {count.key: count for count in ThrottleCount.objects.filter(key__in=windows)}
    for key, count in counts.items():
        since = (now - windows[key]).timestamp()
        count.moments = [moment for moment in count.moments if moment > since]
    return counts


def _seconds(limit: Limit, count: ThrottleCount, now: datetime) -> int:
    since = (now - limit.window).timestamp()
    moments = sorted(moment for moment in count.moments if moment > since)
    if len(moments) < limit.most:
        return 0
    return max(1, math.ceil(float(moments[-limit.most]) - since))
