"""Measures repair on PostgreSQL: calls per second, and how long a writer waits meanwhile.

`BENCH_CALLS=50000`: in a ledger of that many calls instead of a million.
"""

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
    """Measure; the limit is that of issue 8, “Repair”: writers wait for a moment at most."""
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
    f"The rollups of the last {REBUILT_DAYS} days deleted, rebuilt and checked; one model's calls of the last"
    f" {REPRICED_DAYS} days repriced, each at another price; last month",
    "archived and restored. Meanwhile another process inserts a call every 50 ms; its longest insert counts.",
]


def _rows(measured: Figures) -> list[Row]:
    return [
        *(Row(name, measured[name], "calls/s") for name in TASKS),
        Row("a writer's longest wait, alone", measured["alone, wait"], "ms"),
        *(Row(f"… beside {name}", measured[f"{name}, wait"], "ms", A_MOMENT_MS) for name in TASKS),
    ]
