"""Calls a second of one to four drains, each of an outbox of its own, into one PostgreSQL; and what they wait for.

    python -m bench.drains NUMBER    a drain: fills its outbox, says so, and drains at the next line that it reads

`DRAINS_URL`: a ledger to drain into, with organisations and people (`bench.data`), instead of one made for this; such
as one that `manage.py distribute` has spread.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psycopg

from bench import workers
from bench.table import Row, Section

CALLS = 100_000
EVENTS = 30_000
"""Events of each drain in a round: three batches."""
MOST = 4

WAITING = """
SELECT coalesce(wait_event_type, 'CPU'), count(*) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid() AND backend_type = 'client backend'
GROUP BY 1
"""


def section(rounds: int) -> Section:
    """Measure rounds of one to four drains in turn."""
    url = os.environ.get("DRAINS_URL") or workers.filled(CALLS)
    speeds: dict[int, list[float]] = {number: [] for number in range(1, MOST + 1)}
    cpu: dict[int, list[float]] = {number: [] for number in range(1, MOST + 1)}
    waits: dict[int, Counter[str]] = {number: Counter() for number in range(1, MOST + 1)}
    for _ in range(rounds):
        for number in speeds:
            speed, used = _drain(url, number, waits[number])
            speeds[number].append(speed)
            cpu[number].append(used)
    rows = [Row(f"{number} drains", values, "calls/s") for number, values in speeds.items()]
    rows += [Row(f"{number} drains, CPU of Python", values, "µs a call") for number, values in cpu.items()]
    remarks = [
        f"Each drain has {EVENTS:,} events in an outbox of its own; all have the same organisations and the same day.",
        "Samples of the database's sessions, every 20 ms:",
        *(f"    {number} drains: {_shares(found)}" for number, found in waits.items()),
    ]
    return Section(f"Drains, {os.cpu_count()} cores for them and the database", rows, remarks)


def _shares(found: Counter[str]) -> str:
    total = sum(found.values()) or 1
    return ", ".join(f"{name} {100 * count / total:.0f} %" for name, count in found.most_common())


def _drain(url: str, number: int, waits: Counter[str]) -> tuple[float, float]:
    """Return calls a second of all drains, and the CPU of each of their calls."""
    with contextlib.ExitStack() as stack:
        drains = [stack.enter_context(_worker(url, Path(stack.enter_context(_folder())), n)) for n in range(number)]
        for drain in drains:
            _read(drain)
        observer = stack.enter_context(psycopg.connect(url, autocommit=True))
        began = time.perf_counter()
        for drain in drains:
            assert drain.stdin is not None
            drain.stdin.write("\n")
            drain.stdin.flush()
        while any(drain.poll() is None for drain in drains):
            waits.update(dict(observer.execute(WAITING).fetchall()))
            time.sleep(0.02)
        figures = [json.loads(_read(drain)) for drain in drains]
        seconds = max(figure["ended_at"] for figure in figures) - began
    return number * EVENTS / seconds, sum(figure["cpu_us"] for figure in figures) / number


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def _worker(url: str, directory: Path, number: int) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    return workers.worker("bench.drains", f"{number}", workers.environment(url, directory))


def _read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def main(number: int) -> None:
    import django

    django.setup()
    from bench import writer
    from usage_billing.ledger import drain
    from usage_billing.recording import recorder
    from usage_billing.recording.event import encode

    writer._chance.seed(f"{number} {time.time_ns()}")
    outbox = recorder.outbox()
    outbox.append(*map(encode, writer.events(EVENTS)))
    print("ready", flush=True)
    sys.stdin.readline()
    before = time.process_time()
    while drain.drain_all(outbox):
        pass
    used = time.process_time() - before
    assert outbox.backlog().events == outbox.backlog().rejected == 0
    print(json.dumps({"ended_at": time.perf_counter(), "cpu_us": 1e6 * used / EVENTS}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
