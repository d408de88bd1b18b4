"""The digest's chart: the cost of each day, this week beside the week before, as a PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import get_language, gettext

from ai_clients.assistants.digest.figures import Currency, Totals
from usage_billing.templatetags.amounts import style_of, write_amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 560
HEIGHT = 220
"""Size in the e-mail, in pixels; the picture has twice as many for sharp screens."""
DPI = 192
FONT = "DejaVu Sans"  # comes with matplotlib, and has Cyrillic
NOW_COLOUR, BEFORE_COLOUR, TEXT_COLOUR = "#7c3aed", "#cbd5e1", "#64748b"
BAR = 0.38


def draw(now: Sequence[Totals], before: Sequence[Totals], currency: Currency) -> bytes:
    """A PNG of seven pairs of bars, Monday first, with its words in the active language."""
    # Imported here: it takes half a second. Figures of their own, not pyplot, which is one for all threads.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH * 2 / DPI, HEIGHT * 2 / DPI), dpi=DPI, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes: Axes = figure.add_subplot()
    for totals, offset, colour, label in (
        (before, -BAR / 2, BEFORE_COLOUR, gettext("the week before")),
        (now, BAR / 2, NOW_COLOUR, gettext("this week")),
    ):
        heights = [float(day.cost(currency) or 0) for day in totals]
        axes.bar([day + offset for day in range(7)], heights, width=BAR, color=colour, label=label)
    _dress(axes, currency)
    picture = io.BytesIO()
    canvas.print_png(picture, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return picture.getvalue()


def _dress(axes: Axes, currency: Currency) -> None:
    style = style_of(get_language())
    axes.set_xticks(range(7), [str(WEEKDAYS_ABBR[day]) for day in range(7)], fontfamily=FONT)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter(
        lambda value, _: write_amount(Decimal(str(round(value, 9))), currency.upper(), style)
    )
    axes.tick_params(length=0, labelsize=8, labelcolor=TEXT_COLOUR, labelfontfamily=FONT)
    axes.grid(axis="y", color="#e2e8f0", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        frameon=False,
        borderaxespad=0.2,
        labelcolor=TEXT_COLOUR,
        prop={"family": FONT, "size": 8},
    )
