"""How the time of each page, endpoint and command grows with the ledger, from 10,000 calls to `BENCH_CALLS`."""

from __future__ import annotations

import statistics

from bench import workers
from bench.questions import PEOPLE
from bench.reading import CALLS, SMALL, served
from bench.table import Section
from bench.workers import Figures

SIZES = tuple(calls for calls in (SMALL, 100_000, 1_000_000, 10_000_000) if calls <= CALLS)


def section(rounds: int) -> Section:
    """Measure; there are no limits: a figure that grows as the ledger does is the finding.

    One size after the other: servers of all sizes at once would take each other's memory.
    """
    visits: dict[int, Figures] = {calls: {} for calls in SIZES}
    commands: dict[int, Figures] = {calls: {} for calls in SIZES}
    for calls in SIZES:
        with served(calls) as (address, environment):
            with workers.worker("bench.visits", address, environment) as visitor:
                for _ in range(rounds):
                    workers.measure_once(visitor, visits[calls])
            with workers.worker("bench.commands", "", environment) as manager:
                for _ in range(rounds):
                    workers.measure_once(manager, commands[calls])
    return Section(f"Growth, to {SIZES[-1]:,} calls in 90 days", (), [*_REMARKS, "", *_table(visits, commands)])


_REMARKS = [
    f"Medians. ms over HTTP, of {', '.join(PEOPLE)}; periods of 90 days, with the 90 days before them.",
    "Commands: seconds without the start of the process; a day is a 90th of the calls, a month a third.",
]


def _table(visits: dict[int, Figures], commands: dict[int, Figures]) -> list[str]:
    """The lines of a table in Markdown."""
    of_people = dict.fromkeys(name.partition(", ")[2] for name in visits[SIZES[0]])
    lines = [
        _line("calls in the ledger", [f"{calls:,}" for calls in SIZES]),
        "|---" * (1 + len(SIZES)) + "|",
    ]
    for name in of_people:
        cells = []
        for calls in SIZES:
            figures = (visits[calls].get(f"{role}, {name}") for role in PEOPLE)
            cells.append(", ".join(_shown(each) for each in figures if each))
        lines.append(_line(name, cells))
    return lines + [
        _line(f"{name}, s", [_shown(commands[calls][name]) for calls in SIZES]) for name in commands[SIZES[0]]
    ]


def _line(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _shown(rounds: list[float]) -> str:
    figure = statistics.median(rounds)
    return f"{figure:,.0f}" if figure >= 10 else f"{figure:.1f}"
