"""The metrics of Explore: the figure of reports behind each, and how its values are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from usage_billing import reports
from usage_billing.templatetags.amounts import (
    COMPACT_FROM,
    NBSP,
    common_places,
    compact,
    duration,
    style_of,
    write_amount,
    write_number,
)

Write = Callable[[Any], str]
AMOUNT, COUNT, TIME = "amount", "count", "time"


@dataclass(frozen=True)
class Metric:
    """`name`: the value of `metric=` and of `sort=`. `column`: one of `reports.FIGURES`, which may name the currency.

    is_additive: whether the values of parts add up to the value of the whole. calls: further filters of the calls that
    it counts. short: the head of its column.
    """

    name: str
    column: str
    title: str | Promise
    short: str | Promise
    kind: str
    is_additive: bool = True
    calls: Mapping[str, str] = field(default_factory=dict)

    def figure(self, currency: str) -> str:
        return self.column.format(currency=currency)

    def value(self, row: Mapping[str, Any], currency: str) -> Decimal | None:
        """The metric of a row of totals; None where it is unknown or undefined."""
        value = reports.figure(row, self.figure(currency))
        return None if value is None else Decimal(value)


COST = Metric("cost", "cost_{currency}", _("Cost"), _("Cost"), AMOUNT)
REQUESTS = Metric("requests", "requests_count", _("Calls"), _("Calls"), COUNT)
TOTAL = Metric("total_tokens", "total_tokens", _("Tokens"), _("Tokens"), COUNT)
INPUT = Metric("prompt_tokens", "prompt_tokens", _("Input tokens"), _("Input"), COUNT)
OUTPUT = Metric("completion_tokens", "completion_tokens", _("Output tokens"), _("Output"), COUNT)
CACHED = Metric("cached_tokens", "cached_tokens", _("Cached tokens"), _("Cached"), COUNT)
CACHE_WRITE = Metric("cache_write_tokens", "cache_write_tokens", _("Cache write tokens"), _("Cache write"), COUNT)
REASONING = Metric("reasoning_tokens", "reasoning_tokens", _("Reasoning tokens"), _("Reasoning"), COUNT)
ERRORS = Metric("errors", "failed_count", _("Failed calls"), _("Failed"), COUNT, calls={"status": "failed"})
AVERAGE_TIME = Metric("average_time", "average_time_ms", _("Average time"), _("Average time"), TIME, is_additive=False)
P95_TIME = Metric("p95_time", "p95_time_ms", _("p95 time"), _("p95"), TIME, is_additive=False)
PER_CALL = Metric(
    "cost_per_call", "average_cost_{currency}", _("Cost per call"), _("Per call"), AMOUNT, is_additive=False
)

METRICS = (
    COST,
    REQUESTS,
    TOTAL,
    INPUT,
    OUTPUT,
    CACHED,
    CACHE_WRITE,
    REASONING,
    ERRORS,
    AVERAGE_TIME,
    P95_TIME,
    PER_CALL,
)
BY_NAME = {each.name: each for each in METRICS}
ALWAYS = (REQUESTS, INPUT, OUTPUT, AVERAGE_TIME, P95_TIME, PER_CALL)
"""Columns of every table, besides the chosen metric and the cost."""


def measures() -> tuple[str, ...]:
    """The measures that all figures of a table need."""
    return reports.measures_of(*(each.figure(currency) for each in METRICS for currency in ("usd", "rub")))


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def axis_writer(metric: Metric, currency: str) -> Write:
    """How a chart writes the metric's values, with their unit."""
    if metric.kind == AMOUNT:
        style = style_of(get_language())
        return lambda value: write_amount(value, currency.upper(), style)
    return _seconds if metric.kind == TIME else _count


def _count(value: Decimal) -> str:
    if value == int(value):
        return compact(int(value))
    return write_number(value.normalize(), style_of(get_language()))


def _seconds(value: Decimal) -> str:
    return duration(value) if value else "0"


def column_writer(kind: str, values: Iterable[Decimal | None]) -> Write:
    """How a table writes the values of a column: all with the same unit and number of decimals."""
    known = [value for value in values if value is not None]
    style = style_of(get_language())
    if kind == COUNT and max(known, default=0) < COMPACT_FROM:
        return lambda value: write_number(int(value), style)
    if kind == AMOUNT:
        places = common_places(known)
        return lambda value: _rounded(value, places) if value else "0"
    if kind == TIME:
        places = 2 if known and min(known) < 1000 else 1
        # Translators: the short word for seconds, after a number
        return lambda value: _rounded(value / 1000, places) + NBSP + gettext("s")
    power, word = (9, gettext("B")) if min(known) >= 10**9 else (6, gettext("M"))
    return lambda value: _rounded(value.scaleb(-power), 2) + NBSP + word if value else "0"


def _rounded(value: Decimal, places: int) -> str:
    """So many decimals; what would be shown as zero is shown as less than the last digit."""
    style, unit = style_of(get_language()), Decimal(1).scaleb(-places)
    rounded = value.quantize(unit, ROUND_HALF_UP)
    return write_number(rounded, style) if rounded or not value else f"<{NBSP}{write_number(unit, style)}"


def exact(value: Decimal | None) -> str:
    """All digits, without a unit."""
    return "" if value is None else write_number(value.normalize(), style_of(get_language()))
