"""A small production site that tests damage: PostgreSQL with its roles, a provider, processes that call and drain.

The processes are real. A fork server that has already loaded Django and the SDKs starts them at a tenth of the cost.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg

from tests.support import postgres
from tests.support.configure import configure
from tests.support.reliability.caller import Account, Answer, make_calls

ROOT = Path(__file__).resolve().parents[3]
SECRET_KEY = "a1f4b7c0d3e6a9bcdef0123456789abcdef0123456789ab-2"
"""The key of all processes of a test. PostgreSQL shows rows only to scopes that are sealed with it."""
PREFIX = os.environ.get("USAGE_ROLE_PREFIX", "usage")
DRAIN = f"{PREFIX}_drain"
IS_SOAK = bool(os.environ.get("SOAK"))

Figures = Callable[[str, object], None]
"""The type of pytest's `record_property`."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.support.reliability.preload"])


def times(short: int, soak: int) -> int:
    return soak if IS_SOAK else short


@dataclass
class Site:
    """`folder` holds the outbox and the callers' account. The organisation `org` has no calls of other tests."""

    server: postgres.Server
    database_url: str
    simulator: str
    folder: Path
    org: int
    settings: dict[str, Any] = field(default_factory=dict)
    started: list[ForkServerProcess] = field(default_factory=list)

    @property
    def outbox(self) -> Path:
        return self.folder / "outbox" / "outbox"

    @property
    def account(self) -> Account:
        folder = self.folder / "account"
        folder.mkdir(exist_ok=True)
        return Account(folder)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a production process that calls the provider and does not drain."""
        own = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "USAGE_ROLE_PREFIX") if name in os.environ}
        return own | {
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DEBUG": "0",
            "AI_SIMULATOR": "0",
            "SECRET_KEY": SECRET_KEY,
            # Repeated for processes of the fork server, which has already read settings with its own key.
            "USAGE_SCOPE_KEY": SECRET_KEY,
            "DATABASE_URL": self.database_url,
            "USAGE_OUTBOX_PATH": str(self.outbox),
            "USAGE_DRAIN": "off",
            "OPENAI_BASE_URL": f"{self.simulator}/openai/v1",
            "OPENAI_API_KEY": "simulated",
            "ANTHROPIC_BASE_URL": f"{self.simulator}/anthropic",
            "ANTHROPIC_API_KEY": "simulated",
            **{name: str(value) for name, value in self.settings.items()},
        }

    # ── Processes ────────────────────────────────────────────────────────────────────────────────────────────────

    def fork(self, function: Callable[..., None], *arguments: Any) -> ForkServerProcess:
        """Run a function of the tests in a new process."""
        process = _processes.Process(target=_enter, args=(self.environment, function, *arguments))
        process.start()
        self.started.append(process)
        return process

    def caller(self, calls: int, threads: int = 1, pause_s: float = 0.0) -> ForkServerProcess:
        return self.fork(make_calls, self.account.folder, self.org, calls, threads, pause_s)

    def drain(self) -> ForkServerProcess:
        return self.fork(follow, self.folder / "drain.log")

    def run(self, *command: str, seconds: float = 180, fails: bool = False, **settings: Any) -> str:
        """Run a Python command. Returns its output."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.environment | {name: str(value) for name, value in settings.items()},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def manage(self, *command: str, **options: Any) -> str:
        return self.run("manage.py", *command, **options)

    def end(self) -> None:
        for process in self.started:
            process.kill()
            process.join()

    # ── The database ─────────────────────────────────────────────────────────────────────────────────────────────

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run SQL as the server's superuser, who bypasses the policies."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> dict[str, Answer]:
        found = self.sql(
            "SELECT request_id, prompt_tokens, completion_tokens FROM token_usage WHERE org_id = %s", self.org
        )
        return {row[0]: Answer(*row) for row in found}

    # ── Checks at the end ────────────────────────────────────────────────────────────────────────────────────────

    def complete(self) -> None:
        """Drain the rest, after all drains have stopped."""
        for process in self.started:
            terminate(process)
        process = self.fork(drain_everything)
        process.join()
        assert process.exitcode == 0

    def expect_every_call_once(self, *, under_way: int = 0, counted_lost: int = 0) -> str:
        """Expect one row per call, equal totals and a clean `check_usage`. Returns a line of figures.

        At most `under_way` more rows may exist; exactly `counted_lost` calls must be missing.
        """
        self.complete()
        answers, rows = self.account.answers(), self.rows()
        returned = {answer.request_id: answer for answer in answers}
        assert len(returned) == len(answers), "the provider gave an id twice"
        lost = returned.keys() - rows.keys()
        assert len(lost) == counted_lost
        assert {id_: rows[id_] for id_ in returned if id_ in rows} == {
            id_: returned[id_] for id_ in returned if id_ not in lost
        }
        besides = len(rows.keys() - returned.keys())
        assert besides <= min(under_way, self.account.begun() - len(answers))
        self.expect_totals_equal()
        return f"calls {len(answers)}, lost {len(lost)}, double 0, under way at a kill and recorded {besides}"

    def expect_totals_equal(self) -> None:
        of_rows = self.sql(
            "SELECT count(*), sum(prompt_tokens), sum(completion_tokens), sum(cost_usd) FROM token_usage"
            " WHERE org_id = %s",
            self.org,
        )
        of_days = self.sql(
            "SELECT sum(requests_count), sum(prompt_tokens), sum(completion_tokens), sum(cost_usd)"
            " FROM token_usage_daily WHERE grain = 'org' AND org_id = %s",
            self.org,
        )
        assert of_rows == of_days or of_rows[0][0] == 0
        check = self.fork(check_usage)
        check.join()
        assert check.exitcode == 0


def _enter(environment: dict[str, str], function: Callable[..., None], *arguments: Any) -> None:
    """Run the function in the new process, as if that had been started with this environment."""
    from django.conf import settings
    from django.db import connections

    os.environ.update(environment)
    given = {name.removeprefix("USAGE_"): value for name, value in environment.items() if name.startswith("USAGE_")}
    given = {name: type(settings.AI_COSTS[name])(value) for name, value in given.items() if name in settings.AI_COSTS}
    configure(settings, **given, SIMULATOR=False)
    url = urlsplit(environment["DATABASE_URL"])
    connections["default"].settings_dict.update(
        HOST=url.hostname, PORT=url.port, USER=url.username, PASSWORD=url.password, NAME=url.path[1:]
    )
    function(*arguments)


# ── Work of a process ────────────────────────────────────────────────────────────────────────────────────────────────


def follow(log: Path) -> None:
    from django.core.management import call_command

    with log.open("a", buffering=1) as out:
        call_command("drain_usage", "--follow", stdout=out, stderr=out)


def drain_everything() -> None:
    from django.core.management import call_command

    with open(os.devnull, "w") as nowhere:
        call_command("drain_usage", stdout=nowhere)


def check_usage() -> None:
    from django.core.management import call_command

    with open(os.devnull, "w") as nowhere:
        call_command("check_usage", stdout=nowhere)


# ── Harm ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def a_while(least: float = 0.05, most: float = 0.5) -> None:
    """Wait for a random time, so that the damage happens at a random moment."""
    time.sleep(random.uniform(least, most))


def kill_postgres(server: postgres.Server) -> None:
    """Send SIGKILL to the server and each of its processes."""
    pid = int((server.directory / "cluster" / "postmaster.pid").read_text().splitlines()[0])
    postmaster = psutil.Process(pid)
    family = [postmaster, *postmaster.children(recursive=True)]
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=30)


def wait_until(condition: Callable[[], Any], seconds: float = 180) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


# ── Setting up ───────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def simulator() -> Iterator[str]:
    """Run the provider in its own process, which outlives the callers. Yields its origin."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ai_clients.simulator"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"OpenAI (\S+)/openai/v1", line)
        assert found, line
        yield found[1]
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def production() -> Iterator[tuple[postgres.Server, str]]:
    """Run a server that its owner has migrated. Yields it and a URL that logs in as the drain."""
    with postgres.temporary() as server:
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": server.url,
            "SECRET_KEY": SECRET_KEY,
            "USAGE_ROLE_PREFIX": PREFIX,
        }
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        subprocess.run(migrate, cwd=ROOT, env=environment, check=True, timeout=120)
        password = secrets.token_hex(8)
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"ALTER ROLE {DRAIN} LOGIN PASSWORD '{password}'".encode())
        yield server, f"postgres://{DRAIN}:{password}@127.0.0.1:{server.port}/postgres"


def terminate(process: ForkServerProcess) -> None:
    if process.is_alive():
        process.terminate()
    process.join(60)
    assert process.exitcode is not None, "it did not stop"
