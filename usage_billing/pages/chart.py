"""Charts as SVG: stacked bars, or lines, by step.

The plot's x is in thousandths of its width and stretches with it; y is in pixels. Places are floats, amounts decimals.
Texts lie outside the plot, so they keep their size. One path a series: a chart of 90 days and 7 series has 7 paths, not
630 rectangles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal

from django.utils.safestring import SafeString

WIDTH, HEIGHT = 1000, 220
TOP = 8
"""Pixels above the highest line."""
PLOT = HEIGHT - TOP
LABELS = 8
LINES = 4
PATTERNS = (
    "M-2 2L2-2M0 8L8 0M6 10L10 6",
    "M0 2H8M0 6H8",
    "M2 0V8M6 0V8",
    "M-2 6L2 10M0 0L8 8M6-2L10 2",
    "M0 4H8M4 0V8",
    "M1 2H3M5 6H7",
    "M0 1H8",
    "M0 0L8 8M8 0L0 8",
    "M1 0V8",
)
"""Marks of 8 by 8 units that tell series apart without colour. In the plot they stretch with it."""

Write = Callable[[Decimal], str]


@dataclass(frozen=True)
class Step:
    """A day, week or month on the x axis. label: under the axis; title: in the tooltip; link: to its calls.

    is_partial: not over yet. is_expected: a forecast.
    """

    label: str
    title: str
    link: str | None = None
    is_partial: bool = False
    is_expected: bool = False


@dataclass(frozen=True)
class Layer:
    """A series. color: a class of `colors`. narrowing: the query that narrows a page to it; empty: none can."""

    name: str
    color: str
    values: Sequence[Decimal | None]
    total: str = ""
    link: str | None = None
    narrowing: str = ""
    has_pattern: bool = False


@dataclass(frozen=True)
class Column:
    """The area of one step under the pointer. place: the attributes that say where it is and how wide, in per cent.
    title: the text that is shown."""

    place: SafeString
    title: str
    link: str | None
    is_hatched: bool


@dataclass(frozen=True)
class Drawn:
    """A layer and its path. pattern: the number of its pattern, None without one."""

    layer: Layer
    path: str
    pattern: int | None = None

    @property
    def pattern_id(self) -> str:
        return f"pattern-{self.layer.color}-{self.pattern}"

    @property
    def marks(self) -> str:
        """The marks of the pattern."""
        return "" if self.pattern is None else PATTERNS[self.pattern % len(PATTERNS)]


@dataclass(frozen=True)
class Mark:
    """A line of the y axis, or a label of the x axis. at: pixels, or per cent. is_minor: left out on a phone."""

    at: str
    text: str
    is_minor: bool = False


@dataclass(frozen=True)
class Chart:
    layers: list[Drawn]
    columns: list[Column]
    lines: list[Mark]
    labels: list[Mark]
    is_stacked: bool = True
    width: int = WIDTH
    height: int = HEIGHT
    compared: str = ""
    """The path of the period that is compared with."""


def told_apart(layers: Sequence[Layer]) -> list[Layer]:
    """The layers, with a pattern where an earlier one has the same colour."""
    seen: set[str] = set()
    result = []
    for layer in layers:
        result.append(replace(layer, has_pattern=layer.has_pattern or layer.color in seen))
        seen.add(layer.color)
    return result


def draw(
    steps: Sequence[Step],
    layers: Sequence[Layer],
    write: Write,
    *,
    totals: Sequence[Decimal | None] | None = None,
    compared: Sequence[Decimal | None] = (),
    is_stacked: bool = True,
    has_patterns: bool = False,
) -> Chart:
    """Draw the layers. totals: of each step, for the tooltip; None where it is unknown. compared: another period's.

    has_patterns: give every layer a pattern, not only those that share a colour.
    """
    layers = told_apart(layers)
    stacked = [sum((value for layer in layers if (value := layer.values[n])), Decimal(0)) for n in range(len(steps))]
    highest = stacked if is_stacked else [value for layer in layers for value in layer.values if value is not None]
    top, unit = scale(max([*highest, *(value for value in compared if value is not None)], default=Decimal(0)))
    slot, end = WIDTH / max(1, len(steps)), float(top)
    paths = _bars(layers, slot, end) if is_stacked else [_line(layer.values, slot, end) for layer in layers]
    return Chart(
        layers=[
            Drawn(layer, path, number if has_patterns or layer.has_pattern else None)
            for number, (layer, path) in enumerate(zip(layers, paths, strict=True))
        ],
        columns=[
            Column(
                SafeString(f'x="{slot * number / 10:.2f}%" width="{slot / 10:.2f}%"'),
                _title(step, number, layers, write, totals),
                step.link,
                step.is_partial or step.is_expected,
            )
            for number, step in enumerate(steps)
        ],
        lines=_lines(top, unit, write),
        labels=_labels(steps),
        is_stacked=is_stacked,
        compared=_line(compared, slot, end) if compared else "",
    )


def scale(largest: Decimal) -> tuple[Decimal, Decimal]:
    """The end of the axis and the step between its lines: 1, 2, 2.5 or 5 times a power of ten."""
    if largest <= 0:
        return Decimal(0), Decimal(1)
    rough = largest / LINES
    power = Decimal(1).scaleb(rough.adjusted())
    step = next(power * factor for factor in map(Decimal, ("1", "2", "2.5", "5", "10")) if power * factor >= rough)
    return (largest / step).to_integral_value(ROUND_CEILING) * step, step


def _lines(top: Decimal, unit: Decimal, write: Write) -> list[Mark]:
    count = int(top / unit) + 1 if top else 0
    return [Mark(_short(_y(float(unit * number), float(top))), write(unit * number)) for number in range(count)]


def _bars(layers: Sequence[Layer], slot: float, top: float) -> list[str]:
    """One path of rectangles a layer, each upon the layers before it."""
    gap = slot * 0.12
    width = _short(slot - 2 * gap)
    below = [0.0] * max((len(layer.values) for layer in layers), default=0)
    paths = []
    for layer in layers:
        parts = []
        for number, value in enumerate(layer.values):
            if value is not None and value > 0 and top:
                bottom = _y(below[number], top)
                below[number] += float(value)
                # At least half a pixel, so that a small part can be seen.
                high = min(_y(below[number], top), bottom - 0.5)
                parts.append(f"M{_short(slot * number + gap)} {_short(high)}h{width}V{_short(bottom)}h-{width}z")
        paths.append("".join(parts))
    return paths


def _line(values: Sequence[Decimal | None], slot: float, top: float) -> str:
    """A line through the middles of the steps, with a gap where a value is unknown."""
    parts, pen = [], "M"
    for number, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        y = _y(float(value), top) if top else HEIGHT
        # A value between two gaps is a dot.
        dot = "h.1" if pen == "M" and (number + 1 == len(values) or values[number + 1] is None) else ""
        parts.append(f"{pen}{_short(slot * number + slot / 2)} {_short(y)}{dot}")
        pen = "L"
    return "".join(parts)


def _title(
    step: Step, number: int, layers: Sequence[Layer], write: Write, totals: Sequence[Decimal | None] | None
) -> str:
    """The largest part first."""
    head = step.title
    if totals is not None:
        total = totals[number]
        head += ": " + ("—" if total is None else write(total))
    parts = sorted(((value, layer.name) for layer in layers if (value := layer.values[number])), reverse=True)
    return "\n".join([head, *(f"{name}: {write(value)}" for value, name in parts)])


def _y(value: float, top: float) -> float:
    return TOP + PLOT - value / top * PLOT


def _labels(steps: Sequence[Step]) -> list[Mark]:
    """Evenly spread labels, counted from the last step; every second one is minor."""
    every = max(1, -(-len(steps) // LABELS))
    marks = []
    for place, number in enumerate(range(len(steps) - 1, -1, -every)):
        at = (number + 0.5) / len(steps) * 100
        marks.append(Mark(f"{at:.2f}%", steps[number].label, is_minor=place % 2 == 1))
    return marks[::-1]


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
