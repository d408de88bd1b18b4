"""The rows that every section of the benchmark returns, and the table that shows them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HEADINGS = ("", "figure", "rounds from … to", "limit", "of the limit")


@dataclass(frozen=True)
class Row:
    """One figure: its value in each round, of which the median counts.

    `limit` is its maximum, or with `at_least` its minimum. None: the figure is shown only for comparison.
    """

    what: str
    rounds: Sequence[float]
    unit: str
    limit: float | None = None
    at_least: bool = False
    digits: int = 0

    @property
    def figure(self) -> float:
        return statistics.median(self.rounds)

    @property
    def of_limit(self) -> float | None:
        """The share of the limit that is used; over 1 it is missed."""
        if self.limit is None:
            return None
        return self.limit / self.figure if self.at_least else self.figure / self.limit


@dataclass(frozen=True)
class Section:
    """The figures on one subject; `remarks` say how they were taken, or are a table of another form."""

    title: str
    rows: Sequence[Row]
    remarks: Sequence[str] = ()


def render(sections: Iterable[Section]) -> str:
    """The sections as one table of plain text."""
    lines: list[tuple[str, ...] | str] = []
    for section in sections:
        lines += ["", section.title, *section.remarks]
        if section.rows:
            lines += [HEADINGS, *map(_cells, section.rows)]
    tabular = [line for line in lines if isinstance(line, tuple)]
    widths = [max(len(line[column]) for line in tabular) for column in range(len(HEADINGS))] if tabular else []
    return "\n".join(line if isinstance(line, str) else _aligned(line, widths) for line in lines)


def _aligned(cells: tuple[str, ...], widths: Sequence[int]) -> str:
    first, *others = (f"{cell:{'<' if column == 0 else '>'}{widths[column]}}" for column, cell in enumerate(cells))
    return "   ".join([first, *others]).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    figure, low, high = (f"{value:,.{row.digits}f}" for value in (row.figure, min(row.rounds), max(row.rounds)))
    limit = "" if row.limit is None else f"{'≥' if row.at_least else '≤'} {row.limit:,.{row.digits}f}"
    share = "" if row.of_limit is None else f"{row.of_limit:.2f}{' MISSED' if row.of_limit > 1 else ''}"
    return row.what, f"{figure} {row.unit}".rstrip(), f"{low} … {high}", limit, share
