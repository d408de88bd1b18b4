"""Spans a second: into the outbox, by the receiver of OpenTelemetry's protocol, and from there into the ledger."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench import workers
from bench.table import Row, Section
from bench.workers import Figures

SPANS = 5_120
"""Spans in a round, by each encoding."""


def section(rounds: int) -> Section:
    """Measure. There is no limit of an issue; the figures of writing are those of calls that our own recorder saw."""
    with tempfile.TemporaryDirectory() as directory:
        databases = {
            "PostgreSQL": workers.filled(0),
            "SQLite": f"sqlite:///{Path(directory) / 'db.sqlite3'}",
        }
        workers.fill(0, workers.environment(databases["SQLite"], Path(directory)))
        measured: dict[str, Figures] = {}
        for name, url in databases.items():
            environment = workers.environment(url, Path(directory) / name)
            with workers.worker("bench.receiver", str(SPANS), environment) as receiver:
                for _ in range(rounds):
                    workers.measure_once(receiver, measured.setdefault(name, {}))
    rows = [
        Row("into the outbox, protobuf", measured["PostgreSQL"]["protobuf"], "spans/s"),
        Row("into the outbox, JSON", measured["PostgreSQL"]["JSON"], "spans/s"),
        *(Row(f"{name}, from there into the ledger", of["ledger"], "spans/s") for name, of in measured.items()),
    ]
    return Section("Receiving OpenTelemetry", rows, _REMARKS)


_REMARKS = [
    "Exports of 512 spans, compressed with gzip, each span with 2 KB of prompt and answer; by one thread, through all"
    " middleware, without a server in front.",
]
