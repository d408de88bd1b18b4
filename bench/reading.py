"""How long reports take with 10,000 calls and with a million, side by side: in the database, over HTTP, as pages.

`BENCH_CALLS=10000000` takes that many calls instead of a million. Each size has its own database on one PostgreSQL
and its own server; each round measures both.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

from bench import workers
from bench.questions import BREAKDOWNS, PEOPLE, pages_of
from bench.table import Row, Section
from bench.workers import Figures
from tests.support import postgres

SMALL = 10_000
CALLS = int(os.environ.get("BENCH_CALLS", "1000000"))
START_S = 60


def section(rounds: int) -> Section:
    """Measure; the limits are those of issue 8, “Reading”, and by user those of issue 21."""
    with contextlib.ExitStack() as until_done:
        asked = {calls: until_done.enter_context(_asked(calls)) for calls in (SMALL, CALLS)}
        measured: dict[int, Figures] = {calls: {} for calls in asked}
        for _ in range(rounds):
            for calls, questions in asked.items():
                workers.measure_once(questions, measured[calls])
    return Section(f"Reading, {CALLS:,} calls in 90 days", _rows(measured[SMALL], measured[CALLS]), _remarks(measured))


def _rows(small: Figures, large: Figures) -> list[Row]:
    rows: list[Row] = []
    for role in PEOPLE:
        limits = _IN_DATABASE | {"by user": 20 if role == "superadmin" else 5}
        rows += [
            Row(f"{role}, {name}", large[f"{role}, {name}"], "ms", limit, digits=1)
            for name, limit in limits.items()
            if f"{role}, {name}" in large
        ]
        filtered = 250 if role == "superadmin" else 20
        for name in ("by model, of one agent", "by user, of one agent"):
            rows.append(Row(f"{role}, {name}", large[f"{role}, {name}"], "ms", filtered, digits=1))
        # By cost within the limit of the page; an agent whose every call is cheap has all its calls sorted.
        for name, most in {"last 50": 5, "page 10,000": 5, "first 50 by cost": 25}.items():
            rows.append(Row(f"{role}, {name}", large[f"{role}, {name}"], "ms", most, digits=1))
        name = "first 50 by cost, of one agent"
        rows.append(Row(f"{role}, {name}", large[f"{role}, {name}"], "ms", digits=1))
    rows += _quicker(large)
    for role in PEOPLE:
        for name in large:
            if name.startswith(f"{role}, HTTP"):
                rows.append(Row(name, large[name], "ms", _limit(name), digits=1))
    for role in PEOPLE:
        asked = ("by model", "HTTP by model, token", *(f"HTTP {page}" for page in pages_of(role)))
        for name in (f"{role}, {each}" for each in asked):
            grown = [after / before for before, after in zip(small[name], large[name], strict=True)]
            rows.append(Row(f"{name}, {CALLS:,} : {SMALL:,} calls", grown, "", 1.3, digits=2))
    return rows


_PAGES = {"overview": 40, "explore": 30, "calls": 25}


def _limit(name: str) -> int | None:
    """The limits of the pages are those of issue 18."""
    if "HTTP page" not in name:
        return 15
    return next((limit for page, limit in _PAGES.items() if f"page {page}" in name), None)


_IN_DATABASE = {"summary": 2, "time series": 2, **dict.fromkeys(BREAKDOWNS, 2), "by org": 15}
_TIMES_QUICKER = {"calls": 100, "ClickHouse": 10}
QUICKER_FROM = 1_000_000
"""Calls; with fewer, adding up single calls is quick enough."""


def _quicker(figures: Figures) -> list[Row]:
    rows = []
    for name, totals in figures.items():
        question, _, of = name.partition(": ")
        if of != "totals":
            continue
        for other, limit in _TIMES_QUICKER.items():
            if (slower := figures.get(f"{question}: {other}")) is not None:
                times = [theirs / ours for theirs, ours in zip(slower, totals, strict=True)]
                least = limit if CALLS >= QUICKER_FROM else None
                rows.append(Row(f"{question}, quicker than over {_OVER[other]}", times, "×", least, at_least=True))
    return rows


_OVER = {"calls": "the calls", "ClickHouse": "the calls in ClickHouse"}


def _remarks(measured: dict[int, Figures]) -> list[str]:
    remarks = [
        "Periods of 90 days, with 90 more before them to compare with. In the database: the statements of a question,"
        " sent to fetched. “HTTP”: a request to gunicorn with a token",
        "or a session, until its last byte; "
        " “page” is one of the pages of AI costs. Owner and member are of the largest"
        " organisation, which makes a sixth of all calls.",
    ]
    if not any(name.endswith("ClickHouse") for name in measured[CALLS]):
        remarks.append("ClickHouse was left out: the package chdb is not installed.")
    return remarks


@contextlib.contextmanager
def _asked(calls: int) -> Iterator[subprocess.Popen[str]]:
    """A database of so many calls, a server over it, and who asks both a round of questions for each line."""
    with (
        served(calls) as (address, environment),
        workers.worker("bench.questions", address, environment) as questions,
    ):
        yield questions


@contextlib.contextmanager
def served(calls: int) -> Iterator[tuple[str, dict[str, str]]]:
    """A database of so many calls and a server over it: the server's address, and the environment of both."""
    database_url = workers.filled(calls)
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            **workers.environment(database_url, Path(directory)),
            "ALLOWED_HOSTS": "127.0.0.1",
            "SECURE_SSL_REDIRECT": "0",
            "API_RATE_USER": "999999/sec",
            "USAGE_ARCHIVE_DIR": directory,
        }
        with _web(environment) as address:
            yield address, environment


@contextlib.contextmanager
def _web(environment: dict[str, str]) -> Iterator[str]:
    """The service as it runs in production, of one process."""
    address = f"127.0.0.1:{postgres.free_port()}"
    command = [sys.executable, "-m", "gunicorn", "config.wsgi", "--config=deploy/gunicorn.conf.py", f"--bind={address}"]
    with subprocess.Popen([*command, "--workers=1", "--threads=4", "--log-level=warning"], env=environment) as web:
        try:
            _wait_for(f"http://{address}/healthz")
            yield f"http://{address}"
        finally:
            web.terminate()


def _wait_for(url: str) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(url).close()  # noqa: S310 - on loopback
            return
        except URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
