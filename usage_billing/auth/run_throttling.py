"""Limits how many AI runs a person, and an organisation, may start in an hour or a day.

A run is counted before the provider is called, and stays counted if it fails, because it may have cost something.
"""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext

from usage_billing.auth.limits import Limit, take
from usage_billing.conf import conf

_PERIODS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class TooManyRunsError(Exception):
    """`seconds` remain until the next run is allowed. The text is for people."""

    def __init__(self, seconds: int) -> None:
        super().__init__(gettext("Too many runs of the AI: the limit of the person or of the organisation is reached."))
        self.seconds = seconds


def count_run(*, user_id: int | None, org_id: int) -> None:
    """Count a person's run for an organisation. Raises `TooManyRunsError`. Call it outside any scope."""
    limits = [_limit(f"run-org:{org_id}", conf.RUNS_PER_ORGANIZATION)]
    if user_id is not None:
        limits.append(_limit(f"run-user:{user_id}", conf.RUNS_PER_USER))
    if seconds := take(*limits):
        raise TooManyRunsError(seconds)


def _limit(key: str, rate: str) -> Limit:
    """`rate`: in DRF's notation, such as `60/hour`."""
    number, _slash, period = rate.partition("/")
    return Limit(key, int(number), _PERIODS[period[0]])
