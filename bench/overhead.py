"""Measures what recording adds to an SDK call for its caller: time, CPU, throughput.

The same official SDK calls the same loopback provider with and without recording, in turn. Provider and drain are
processes of their own, as in production; once the drain is a thread of the caller's.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import workers
from bench.calls import THREADS
from bench.provider import CHUNKS
from bench.table import Row, Section

Figures = dict[str, dict[str, list[float]]]


def section(rounds: int) -> Section:
    """Measure; the limits are those of issue 7, “The cost to the caller”, of issue 19, “Budgets”, and of issue 21."""
    with tempfile.TemporaryDirectory() as directory, provider("bench.provider") as url:
        own_process = _environment(directory, drain="off")
        _run(["manage.py", "migrate", "-v0"], own_process)
        with _drain(own_process):
            names = ["plain", "instrument", "stream", "asking stream", "async", "throughput", "decision", "budget"]
            measured = _calls(url, rounds, names, own_process)
        measured |= _calls(url, rounds, ["thread"], _environment(directory, drain="thread"))
    return Section("Recording adds to a call", _rows(measured), _remarks(measured))


def _rows(measured: Figures) -> list[Row]:
    plain, stream, asking = measured["plain"], measured["stream"], measured["asking stream"]
    instrumented = measured["instrument"]
    async_, thread = measured["async"], measured["thread"]
    streamed = f"stream of {CHUNKS} chunks"
    return [
        Row("plain call, p50", plain["p50"], "µs", 60),
        Row("plain call, p99", plain["p99"], "µs", 300),
        Row("plain call, CPU", plain["cpu"], "µs", 80),
        Row("plain call, instrument(), p50", instrumented["p50"], "µs", 80),
        Row("plain call, instrument(), p99", instrumented["p99"], "µs", 300),
        Row("plain call, instrument(), CPU", instrumented["cpu"], "µs", 120),
        Row(f"{streamed}, p50", stream["p50"], "µs", 120),
        Row(f"{streamed}, to the first, p50", stream["first chunk"], "µs", 30),
        Row(f"{streamed}, CPU", stream["cpu"], "µs"),
        Row(f"{streamed}, usage asked for, p50", asking["p50"], "µs", 100),
        Row(f"{streamed}, usage asked for, to the first, p50", asking["first chunk"], "µs"),
        Row("async plain call, p50", async_["p50"], "µs", 80),
        Row("async plain call, p99", async_["p99"], "µs", 300),
        Row("async plain call, CPU", async_["cpu"], "µs", 120),
        Row("plain call, drain as a thread, CPU", thread["cpu"], "µs", 400),
        Row("plain call, drain as a thread, p50", thread["p50"], "µs"),
        Row("plain call, drain as a thread, p99", thread["p99"], "µs"),
        Row("a budget that does not count the call", measured["decision"]["none"], "µs", 3),
        Row("a budget that stops, decision", measured["decision"]["one"], "µs", 15),
        Row("a budget that stops, plain call, p50", measured["budget"]["p50"], "µs"),
        Row("a budget that stops, plain call, CPU", measured["budget"]["cpu"], "µs"),
        Row(f"throughput of {THREADS} threads, recording : bare", measured["throughput"]["ratio"], "", 0.95, True, 3),
    ]


def _remarks(measured: Figures) -> list[str]:
    bare = {
        name: sum(figures["bare"]) / len(figures["bare"]) for name, figures in measured.items() if "bare" in figures
    }
    return [
        f"Bare: plain {bare['plain']:,.0f} µs, stream {bare['stream']:,.0f} µs, async {bare['async']:,.0f} µs."
        " The same program with and without recording, call by call in turn: p50 is the median of what a call takes",
        "longer than its neighbour, p99 the difference of the two, the figure the median of the rounds.",
        "The bare stream asks for no usage: recording asks for it, and takes a chunk more from the provider, unseen.",
        "“Usage asked for”: the program asks itself, with and without recording, as it must to know what a call costs.",
    ]


def _calls(url: str, rounds: int, names: list[str], environment: dict[str, str]) -> Figures:
    run = _run(["-m", "bench.calls", url, str(rounds), *names], environment, stdout=subprocess.PIPE)
    figures: Figures = json.loads(run.stdout)
    return figures


def _run(
    arguments: list[str], environment: dict[str, str], stdout: int | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], env=environment, stdout=stdout, text=True, check=True)


@contextlib.contextmanager
def provider(module: str) -> Iterator[str]:
    """The URL of a provider that runs as a process of its own; it prints that first."""
    with subprocess.Popen([sys.executable, "-m", module], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextlib.contextmanager
def _drain(environment: dict[str, str]) -> Iterator[None]:
    command = [sys.executable, "manage.py", "drain_usage", "--follow"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as drain:
        try:
            assert drain.stdout is not None
            assert drain.stdout.readline().startswith("Draining")
            yield
        finally:
            drain.terminate()
            drain.communicate()


def _environment(directory: str, *, drain: str) -> dict[str, str]:
    return workers.environment(f"sqlite:///{Path(directory) / 'db.sqlite3'}", Path(directory), drain=drain)
