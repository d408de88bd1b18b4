"""Processes that measure, each with a database and an outbox of its own: a round of figures for each line they get."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.support import postgres

Figures = dict[str, list[float]]
"""Name → its value in each round."""


def environment(database_url: str, directory: Path, *, drain: str = "off") -> dict[str, str]:
    """Return the environment of a production process with that database; its outbox is in `directory`."""
    return {
        **os.environ,
        **postgres.ROLES,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEBUG": "0",
        "SECRET_KEY": "of the benchmark, and long enough to sign with",
        "DATABASE_URL": database_url,
        "USAGE_OUTBOX_PATH": str(directory / "outbox"),
        "USAGE_DRAIN": drain,
    }


_until_exit = contextlib.ExitStack()
atexit.register(_until_exit.close)


@functools.cache
def _server() -> postgres.Server:
    return _until_exit.enter_context(postgres.temporary())


@functools.cache
def filled(calls: int) -> str:
    """The URL of a database of so many calls: one for all that measure it, because filling it takes longest."""
    url = new_database(_server().url, f"calls_{calls}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        fill(calls, environment(url, Path(directory)))
    print(f"{calls:,} calls made in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return url


def new_database(server: str, name: str) -> str:
    """The URL of a new database on the server at `server`."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"{server.rpartition('/')[0]}/{name}"


def fill(calls: int, environment: dict[str, str]) -> None:
    """Tables, organisations and people, and so many calls (`bench.data`)."""
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=environment, check=True)
    subprocess.run([sys.executable, "-m", "bench.data", str(calls)], env=environment, check=True)


@contextlib.contextmanager
def worker(module: str, argument: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", module, argument]
    with subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def measure_once(process: subprocess.Popen[str], measured: Figures) -> None:
    """Let the process measure one round, and add its figures."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    for name, figure in json.loads(process.stdout.readline()).items():
        measured.setdefault(name, []).append(figure)
