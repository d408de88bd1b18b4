"""Calls a second from the outbox to the ledger, beside `COPY` of such rows; and bytes of a call on disk.

`BENCH_CALLS=10000000`: into a table of that many calls instead of a million.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import workers
from bench.reading import CALLS
from bench.table import Row, Section
from bench.workers import Figures

EVENTS = 20_000
"""Events in a round."""


def section(rounds: int) -> Section:
    """Measure; the limits are those of issue 21, “At half the cost on one machine”."""
    with tempfile.TemporaryDirectory() as directory:
        small = f"sqlite:///{Path(directory) / 'db.sqlite3'}"
        workers.fill(0, workers.environment(small, Path(directory)))
        with (
            _writer(workers.filled(CALLS), Path(directory) / "large") as on_postgres,
            _writer(small, Path(directory) / "small") as on_sqlite,
        ):
            measured: dict[str, Figures] = {"PostgreSQL": {}, "SQLite": {}}
            for _ in range(rounds):
                for name, writer in (("PostgreSQL", on_postgres), ("SQLite", on_sqlite)):
                    workers.measure_once(writer, measured[name])
    return Section(f"Writing, into {CALLS:,} calls", _rows(measured["PostgreSQL"], measured["SQLite"]), _REMARKS)


_REMARKS = [
    f"{EVENTS:,} calls a round, read from the outbox, priced, converted, inserted once, added to each grain"
    " of the rollups and deleted from the outbox; COPY of as many such rows",
    "into the same table with the same indexes, in turn. Bytes: of a table that grew row by row.",
]


def _rows(postgresql: Figures, sqlite: Figures) -> list[Row]:
    ratio = [ours / theirs for ours, theirs in zip(postgresql["ledger"], postgresql["COPY"], strict=True)]
    return [
        Row("PostgreSQL, ledger end to end", postgresql["ledger"], "calls/s", 15_000, at_least=True),
        Row("PostgreSQL, COPY", postgresql["COPY"], "rows/s"),
        Row("PostgreSQL, ledger : COPY", ratio, "", 0.6, at_least=True, digits=2),
        Row("SQLite, ledger end to end", sqlite["ledger"], "calls/s", 12_000, at_least=True),
        Row("bytes a call", postgresql["bytes"], "B", 600),
        *(
            Row(f"of these, {name}", values, "B")
            for name, values in postgresql.items()
            if name in ("table", "indexes") or name.startswith("index ")
        ),
    ]


@contextlib.contextmanager
def _writer(database_url: str, directory: Path) -> Iterator[subprocess.Popen[str]]:
    environment = workers.environment(database_url, directory)
    with workers.worker("bench.writer", str(EVENTS), environment) as writer:
        yield writer
