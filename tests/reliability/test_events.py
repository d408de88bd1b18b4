"""What was answered with 200 is in the ledger once, whatever is killed: the server, or PostgreSQL."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import Any

import pytest

from tests.support.postgres import free_port
from tests.support.reliability.world import ROOT, Figures, Site, a_while, kill_postgres, times, wait_until

pytestmark = pytest.mark.postgres

KILLS = times(3, 100)
TOKEN = "aic_" + "k" * 43


@pytest.fixture
def sender(site: Site) -> Site:
    """A site with a service token, and a server that does not drain."""
    site.settings |= {"SECURE_SSL_REDIRECT": 0}
    site.sql("DELETE FROM usage_service_token")
    site.sql(
        "INSERT INTO usage_service_token (org_id, name, prefix, digest, scopes, allowed_models, by, created_at)"
        " VALUES (%s, 'job', 'aic_kkkkkkkk', %s, '[\"ingest\"]', '[]', 'boss', now())",
        site.org,
        hashlib.sha256(TOKEN.encode()).hexdigest(),
    )
    return site


@contextmanager
def server(site: Site, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server of two workers, which leads a process group of its own."""
    command = (sys.executable, "-m", "gunicorn", "config.wsgi", f"--bind=127.0.0.1:{port}", "--workers=2")
    with (site.folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=site.environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until(lambda: process.poll() is not None or _answers(port))
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)


def _answers(port: int) -> bool:
    try:
        return send(port, []) == 200
    except (OSError, HTTPException):
        return False


def send(port: int, ids: list[str]) -> int:
    """Send an event for each id. Returns the status."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    events = [{"request_id": id_, "provider": "openai", "model": "gpt-4.1-mini", "usage": usage} for id_ in ids]
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        connection.request("POST", "/api/billing/usage/events", json.dumps(events), headers)
        answer = connection.getresponse()
        body: Any = json.loads(answer.read())
        if answer.status == 200:
            assert body["data"]["taken"] + body["data"]["known"] == len(ids), body
        return answer.status
    finally:
        connection.close()


def sending(port: int, name: str, taken: list[str], stop: threading.Event) -> Callable[[], None]:
    def run() -> None:
        for number in itertools.count():
            ids = [f"{name}-{number}-{each}" for each in range(random.randint(1, 50))]
            try:
                if send(port, ids) == 200:
                    taken.extend(ids)
            except (OSError, HTTPException, ValueError):
                pass  # the server was killed before it had answered
            if stop.is_set():
                return

    return run


def expect_all(site: Site, taken: list[str]) -> str:
    site.complete()
    rows = site.rows()
    assert len(set(taken)) == len(taken) > 0
    assert set(taken) - rows.keys() == set()
    site.expect_totals_equal()
    return f"taken {len(taken)}, lost 0, recorded and not answered {len(rows) - len(taken)}"


def test_a_server_that_is_killed(sender: Site, record_property: Figures) -> None:
    taken: list[str] = []
    for kill in range(KILLS):
        port, stop = free_port(), threading.Event()
        before = len(taken)
        with server(sender, port) as process:
            threads = [threading.Thread(target=sending(port, f"{kill}-{number}", taken, stop)) for number in range(3)]
            for thread in threads:
                thread.start()
            wait_until(lambda before=before: len(taken) > before + 100)  # type: ignore[misc]
            a_while()
            stop.set()
            os.killpg(process.pid, signal.SIGKILL)
            assert process.wait(60) == -signal.SIGKILL
            for thread in threads:
                thread.join()
    record_property("figures", f"killed {KILLS}; " + expect_all(sender, taken))


def test_a_postgresql_that_is_killed(sender: Site, record_property: Figures) -> None:
    """Events are taken without it, for a token that was good before."""
    taken, port, stop = [], free_port(), threading.Event()
    with server(sender, port):
        for number in range(10):  # both workers know the token
            assert send(port, [f"before-{number}"]) == 200
            taken.append(f"before-{number}")
        thread = threading.Thread(target=sending(port, "while", taken, stop))
        thread.start()
        kill_postgres(sender.server)
        gone = len(taken)
        wait_until(lambda: len(taken) > gone + 200)
        sender.server.start_again()
        back = len(taken)
        wait_until(lambda: len(taken) > back + 50)
        stop.set()
        thread.join()
    record_property("figures", f"without PostgreSQL {back - gone}; " + expect_all(sender, taken))
