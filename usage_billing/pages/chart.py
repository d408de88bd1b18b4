"""The charts: cost by day in stacked bars, and the sparklines of the cards. x is in per cent, y in pixels.

The chart has no view box, so that its text and patterns keep their size on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal
from html import escape
from typing import Any

from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext

from usage_billing.reports import Series
from usage_billing.templatetags.amounts import Style, style_of, write_amount, written_day

HEIGHT = 240
TOP, BOTTOM = 12, 28
LEFT = Decimal(7)
"""Per cent of the width that the amounts on the axis take."""
PLOT = HEIGHT - TOP - BOTTOM
LAYERS = 6
"""Series with a pattern of their own; all others are drawn as one."""
CROWDED_FROM = 45
"""With more bars than this there is no room for lines between their parts."""
LABELS = 6
LINES = 4
SPARK_WIDTH, SPARK_HEIGHT = 100, 28


@dataclass(frozen=True)
class Line:
    y: str
    amount: Decimal


@dataclass(frozen=True)
class Label:
    x: str
    text: str


@dataclass(frozen=True)
class Chart:
    """`bars`: one a step, as markup."""

    bars: SafeString
    lines: list[Line]
    labels: list[Label]
    is_crowded: bool
    height: int = HEIGHT


def layer(series: Series, number: int) -> str:
    """The name of a series' pattern."""
    return "rest" if series.key is None else str(number)


def draw(series: Sequence[Series], names: Sequence[str], totals: Sequence[dict[str, Any]], currency: str) -> Chart:
    """Draw the series. `names`: theirs, in the same order; `totals`: one row a step, with `date` and the amounts."""
    layers = [layer(each, number) for number, each in enumerate(series)]
    column = f"cost_{currency}"
    top, step = _scale(max((row[column] or Decimal(0) for row in totals), default=Decimal(0)))
    slot = (Decimal(100) - LEFT) / max(1, len(totals))
    width = slot * Decimal("0.76" if len(totals) <= CROWDED_FROM else "0.84")
    bars, style = [], style_of(get_language())
    for number, row in enumerate(totals):
        amounts = [each.rows[number][column] or Decimal(0) for each in series]
        parts = sorted(
            ((name, amount) for name, amount in zip(names, amounts, strict=True) if amount), key=lambda part: -part[1]
        )
        x = _percent(LEFT + slot * number + (slot - width) / 2)
        across = f'x="{x}" width="{_percent(width)}"'
        title = escape(_title(row["date"], row[column], parts, currency.upper(), style))
        hit = f'<rect class="hit" {across} y="0" height="{HEIGHT - BOTTOM}"/>'
        bars.append(f'<g class="day"><title>{title}</title>{hit}{_segments(across, layers, amounts, top)}</g>')
    return Chart(
        bars=SafeString("".join(bars)),
        lines=[Line(_pixels(_y(step * n, top)), step * n) for n in range(int(top / step) + 1)] if top else [],
        labels=_labels([row["date"] for row in totals], slot),
        is_crowded=len(totals) > CROWDED_FROM,
    )


def sparkline(values: Sequence[Decimal | int | None]) -> str:
    """The points of a curve within `SPARK_WIDTH` × `SPARK_HEIGHT`; empty if all values are zero."""
    numbers = [Decimal(value or 0) for value in values]
    top = max(numbers, default=Decimal(0))
    if len(numbers) < 2 or not top:
        return ""
    wide = Decimal(SPARK_WIDTH) / (len(numbers) - 1)
    high = Decimal(SPARK_HEIGHT - 4)
    return " ".join(
        f"{number * wide:.1f},{SPARK_HEIGHT - 2 - value / top * high:.1f}" for number, value in enumerate(numbers)
    )


def _title(day: date, total: Decimal | None, parts: Sequence[tuple[str, Decimal]], currency: str, style: Style) -> str:
    """The most expensive part first; a total of None is unknown."""
    amount = gettext("unknown") if total is None else write_amount(total, currency, style)
    lines = [f"{written_day(day)}: {amount}"]
    return "\n".join([*lines, *(f"{name}: {write_amount(amount, currency, style)}" for name, amount in parts)])


def _segments(across: str, layers: Sequence[str], amounts: Sequence[Decimal], top: Decimal) -> str:
    segments, below = [], Decimal(0)
    for layer_, amount in zip(layers, amounts, strict=True):
        if amount > 0 and top:
            height = max(amount / top * PLOT, Decimal("0.5"))
            down = f'y="{_pixels(_y(below + amount, top))}" height="{_pixels(height)}"'
            segments.append(f'<rect class="segment" {across} {down} fill="url(#layer-{layer_})"/>')
            below += amount
    return "".join(segments)


def _y(amount: Decimal, top: Decimal) -> Decimal:
    return TOP + PLOT - amount / top * PLOT


def _scale(largest: Decimal) -> tuple[Decimal, Decimal]:
    """The end of the axis and the step between its lines: 1, 2, 2.5 or 5 times a power of ten."""
    if largest <= 0:
        return Decimal(0), Decimal(1)
    rough = largest / LINES
    power = Decimal(1).scaleb(rough.adjusted())
    step = next(power * factor for factor in map(Decimal, ("1", "2", "2.5", "5", "10")) if power * factor >= rough)
    return (largest / step).to_integral_value(ROUND_CEILING) * step, step


def _labels(days: Sequence[date], slot: Decimal) -> list[Label]:
    """Evenly spread labels; the last step always has one."""
    # Translators: a day on the chart's axis, short, in Django's date format
    day_format = gettext("M j")
    every = max(1, -(-len(days) // LABELS))
    chosen = [number for number in range(len(days)) if (len(days) - 1 - number) % every == 0]
    return [
        Label(_percent(LEFT + slot * number + slot / 2), date_format(days[number], day_format)) for number in chosen
    ]


def _percent(value: Decimal) -> str:
    return f"{value:.3f}%"


def _pixels(value: Decimal) -> str:
    return f"{value:.2f}"
