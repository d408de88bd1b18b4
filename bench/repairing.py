"""How many calls a second repair goes through, and how long it makes a writer wait, on PostgreSQL."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench import workers
from bench.repair import CALLS, REBUILT_DAYS, REPRICED_DAYS, TASKS
from bench.table import Row, Section
from bench.workers import Figures
from tests.support import postgres

A_MOMENT_MS = 1000


def section(rounds: int) -> Section:
    """Measure; issue 8, “Repair”: writers are not blocked for more than a moment."""
    measured: Figures = {}
    with tempfile.TemporaryDirectory() as directory, postgres.temporary() as server:
        environment = workers.environment(workers.new_database(server.url, "repairing"), Path(directory))
        environment["USAGE_ARCHIVE_DIR"] = directory
        workers.fill(CALLS, environment)
        with workers.worker("bench.repair", "", environment) as repair:
            for _ in range(rounds):
                workers.measure_once(repair, measured)
    return Section(f"Repairing, of {CALLS:,} calls in 90 days", _rows(measured), _REMARKS)


_REMARKS = [
    f"The totals of the last {REBUILT_DAYS} days made anew after all of them were deleted, and checked; a model of the"
    f" last {REPRICED_DAYS} days costed again, each call of it at another price; the month before this one",
    "archived and brought back. Meanwhile another process enters a call, waits 50 ms, and enters the next: the longest"
    " that one of them took.",
]


def _rows(measured: Figures) -> list[Row]:
    return [
        *(Row(name, measured[name], "calls/s") for name in TASKS),
        Row("a writer's longest wait, alone", measured["alone, wait"], "ms"),
        *(Row(f"… beside {name}", measured[f"{name}, wait"], "ms", A_MOMENT_MS) for name in TASKS),
    ]
