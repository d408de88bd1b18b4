"""Estimates from the rollups how many calls come before others in the order of their cost, tokens or duration.

Within a kind of calls (one agent, request type, model and status), the values are taken to lie above `LEAST_VALUE` of
their mean, and to be distributed exponentially from there on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from usage_billing.reports.parameters import Filters, Period
from usage_billing.reports.sql.totals import sums
from usage_billing.tenancy.scope import Scope

KINDS = ("agent_id", "request_type", "ai_provider", "ai_model", "status")
LEAST_VALUE = 0.25
"""The smallest value of a kind, as a part of its mean: no prompt is empty."""
STEPS = 50
"""How often the range of a value is halved to find it."""


class Kind(NamedTuple):
    """The calls of a kind that have the value, and its mean."""

    calls: int
    mean: float

    def above(self, value: float) -> float:
        """The number of calls above the value."""
        least = LEAST_VALUE * self.mean
        return self.calls * math.exp(min(0.0, (least - value) / (self.mean - least))) if self.mean > 0 else 0.0


def kinds(scope: Scope, filters: Filters, period: Period, column: str) -> list[Kind]:
    """The kinds of the matching calls. By cost, without unpriced calls. One query."""
    unpriced = "unpriced_usd_count" if column == "cost_usd" else "refused_count"
    rows = sums(scope, KINDS, filters, period, ["requests_count", unpriced, column], ordering="-requests_count")
    counted = ((row["requests_count"] - row[unpriced], float(row[column] or 0)) for row in rows)
    return [Kind(calls, total / calls) for calls, total in counted if calls > 0]


def expected_reads(
    count: float,
    days: int,
    matching: Sequence[Kind],
    whole: Sequence[Kind],
    start: float | None,
    *,
    descending: bool,
) -> float:
    """How many of the whole are read, in the order of the values, to find so many matching ones beyond `start`.

    Each day is read up to the next call that matches. Infinite if there are not so many. Calls that cost nothing come
    first in ascending order, day after day. Where one has been shown (`start` is 0), it is not known how many are
    left: only the others count.
    """
    sought = count + days
    valued = [kind for kind in matching if kind.mean > 0]
    if start is not None:
        sought += _before(start, valued, descending=descending)
    elif not descending and (zeros := _zeros(matching)):
        if sought <= zeros:
            # A day whose zeros are all found is read on, up to its first other call that matches.
            return _zeros(whole) * sought / zeros + count / zeros * _up_to(days, valued, whole, descending=False)
        sought -= zeros
    return _up_to(sought, valued, whole, descending=descending)


def _up_to(sought: float, valued: Sequence[Kind], whole: Sequence[Kind], *, descending: bool) -> float:
    """How many of the whole come before so many of these. Infinite if there are not so many."""
    if sought > sum(kind.calls for kind in valued):
        return math.inf
    low, high = 0.0, STEPS * max(kind.mean for kind in valued)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if (_before(middle, valued, descending=descending) > sought) == descending:
            low = middle
        else:
            high = middle
    return _before(low if descending else high, whole, descending=descending)


def _zeros(of: Sequence[Kind]) -> int:
    return sum(kind.calls for kind in of if kind.mean == 0)


def _before(value: float, of: Sequence[Kind], *, descending: bool) -> float:
    """The number of calls that come before the value."""
    above = sum(kind.above(value) for kind in of)
    return above if descending else sum(kind.calls for kind in of) - above
