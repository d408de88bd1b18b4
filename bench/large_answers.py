"""Measures what recording adds to a call with an answer of many megabytes: time and memory, beside the official SDK's.

Each call is made in a process of its own, so that its highest memory can be told; both kinds take turns.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from bench import workers
from bench.overhead import provider
from bench.table import Row, Section

MEGABYTES = (1, 16, 100)
KINDS = {"sse": "one line of a stream", "json": "plain JSON"}
ENCODINGS = ("identity", "gzip")
ROUNDS = 3
"""At most: the SDK alone takes seconds for the largest."""

REMARK = "Time is CPU time, which a busy machine does not change; memory is what the process takes more at its peak."

Measured = dict[str, list[dict[str, float]]]


def section(rounds: int) -> Section:
    """Measure; the limits are those of issue 15: 1.5 times the time, 32 MB more."""
    rows: list[Row] = []
    remarks: list[str] = []
    with tempfile.TemporaryDirectory() as directory, provider("bench.large_provider") as url:
        environment = workers.environment(f"sqlite:///{Path(directory) / 'db.sqlite3'}", Path(directory))
        for kind, what in KINDS.items():
            for encoding in ENCODINGS:
                for megabytes in MEGABYTES:
                    name = f"{what}, {megabytes} MB{'' if encoding == 'identity' else f', {encoding}'}"
                    sys.stderr.write(f"\r{name} …\033[K")
                    measured = _measured(f"{url}/{kind}/{megabytes}/{encoding}", kind, min(rounds, ROUNDS), environment)
                    rows += _rows(name, measured)
                    remarks.append(_remark(name, measured))
    sys.stderr.write("\r\033[K")
    return Section("Recording adds to a call with a large answer", rows, [*remarks, REMARK])


def _measured(url: str, kind: str, rounds: int, environment: dict[str, str]) -> Measured:
    calls = max(1, MEGABYTES[1] // int(url.split("/")[-2]))  # of the smallest several, for one takes 10 ms
    measured: Measured = defaultdict(list)
    for number in range(rounds):
        for which in ("official", "recording") if number % 2 else ("recording", "official"):
            run = subprocess.run(
                [sys.executable, "-m", "bench.large_call", url, kind, which, str(calls)],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            measured[which].append(json.loads(run.stdout))
    return measured


def _rows(name: str, measured: Measured) -> list[Row]:
    pairs = list(zip(measured["official"], measured["recording"], strict=True))
    times = [recording["seconds"] / official["seconds"] for official, recording in pairs]
    added = [recording["megabytes"] - official["megabytes"] for official, recording in pairs]
    return [
        Row(f"{name}: time, recording : official", times, "×", 1.5, digits=2),
        Row(f"{name}: memory", added, "MB", 32),
    ]


def _remark(name: str, measured: Measured) -> str:
    return f"{name}: " + ", ".join(f"{which} {_medians(measured[which])}" for which in ("official", "recording"))


def _medians(runs: list[dict[str, float]]) -> str:
    seconds, waited, megabytes = (
        statistics.median(run[figure] for run in runs) for figure in ("seconds", "waited", "megabytes")
    )
    return f"{seconds:.2f} s (waited {waited:.2f} s) and {megabytes:.0f} MB"
