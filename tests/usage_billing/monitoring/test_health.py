"""/healthz says whether calls can be recorded and shown."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from tests.support.configure import configure
from tests.support.factories import event
from usage_billing.ledger import drain
from usage_billing.monitoring import spend
from usage_billing.monitoring.health import age
from usage_billing.recording import lost, record, recorder
from usage_billing.recording.outbox import Outbox

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("address", ["/healthz", "/healthz/"])
def test_healthz_of_a_service_that_is_well(client: Client, address: str) -> None:
    answer = client.get(address)
    state = answer.json()
    assert state.pop("outbox_bytes") > 0
    assert (answer.status_code, state) == (
        200,
        {
            "status": "ok",
            "database": "ok",
            "outbox": "ok",
            "backlog": 0,
            "oldest_s": None,
            "drained": 0,
            "drain_seen_s": None,
            "rejected": 0,
            "lost": 0,
            "quarantined_outboxes": 0,
        },
    )


def test_healthz_tells_backlog_and_losses(client: Client) -> None:
    lost(OSError("no space"))
    record(event())
    state = client.get("/healthz").json()
    assert (state["status"], state["backlog"], state["lost"]) == ("ok", 1, 1)
    assert state["oldest_s"] in (0, 1)


def test_healthz_tells_what_the_drain_of_another_process_did(client: Client, outbox: Outbox) -> None:
    record(event())
    drain.drain_all(Outbox(outbox.path))
    state = client.get("/healthz").json()
    assert (state["drained"], state["backlog"]) == (1, 0)
    assert state["drain_seen_s"] in (0, 1)


@pytest.mark.parametrize("address", ["/healthz", "/metrics"])
def test_many_waiting_events_are_no_more_work_than_few(
    client: Client, outbox: Outbox, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Not the time is counted but the reads of files, and the queries."""
    pread, bytes_read, work = os.pread, list[int](), []

    def counted(file: int, length: int, offset: int) -> bytes:
        content = pread(file, length, offset)
        bytes_read.append(len(content))
        return content

    monkeypatch.setattr(os, "pread", counted)
    for events in (1_000, 40_000):
        for _ in range(events):
            outbox.append(b"{}")
        bytes_read.clear()
        spend.forget()
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        work.append((len(bytes_read), sum(bytes_read), len(queries)))
    assert outbox.backlog().events == 41_000
    assert len([*outbox.path.parent.glob("*.journal")]) == 1
    assert work[0] == work[1]


def test_nothing_is_younger_than_now_when_the_clock_was_set_back() -> None:
    assert age(time.time() + 3600) == 0
    assert age(None) is None


def test_healthz_is_503_while_the_outbox_cannot_be_read(client: Client, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    configure(settings, OUTBOX_PATH=str(tmp_path / "file" / "outbox"))
    recorder.outbox.cache_clear()
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["outbox"], answer.json()["database"]) == (503, "unreadable", "ok")


def test_healthz_is_503_while_the_database_is_away(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "cursor", away)
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["status"], answer.json()["database"]) == (503, "failing", "away")
