"""Draining: batches, refused events, outages, another ledger."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DataError, IntegrityError, OperationalError, ProgrammingError

from tests.support import factories
from tests.support.factories import event
from tests.support.other_drain import other_drain
from usage_billing.ledger import drain, writer
from usage_billing.models import Installation, UsageRecord
from usage_billing.recording import Event, record
from usage_billing.recording.outbox import Outbox

pytestmark = pytest.mark.django_db


def test_drained_events_are_in_the_ledger_and_gone_from_the_outbox(outbox: Outbox, drained: Callable[[], int]) -> None:
    org = factories.organization()
    for _ in range(3):
        record(event(org=org))
    assert drained() == 3
    assert UsageRecord.objects.filter(org=org).count() == 3
    assert outbox.backlog().events == 0
    assert drained() == 0


def test_events_of_more_than_a_batch_are_all_drained(
    outbox: Outbox, drained: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "BATCH", 2)
    for _ in range(5):
        record(event())
    assert drained() == 5
    assert UsageRecord.objects.count() == 5


def test_events_that_come_while_a_batch_is_drained_wait_for_the_next_cycle(
    outbox: Outbox, drained: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []

    def add(events: list[Event]) -> None:
        batches.append(len(events))
        record(event())

    monkeypatch.setattr(writer, "add", add)
    for _ in range(5):
        record(event())
    assert drained() == 5
    assert drained() == 1
    assert batches == [5, 1]


def test_an_empty_outbox_asks_nothing_of_the_ledger(
    drained: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[Event]] = []
    monkeypatch.setattr(writer, "add", batches.append)
    assert drained() == 0
    assert batches == []


def test_an_event_that_is_replayed_counts_once(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drain dies between the ledger's commit and the outbox's delete; the next one finds the event again."""
    record(event(org=factories.organization()))
    reader = Outbox(outbox.path)
    monkeypatch.setattr(Outbox, "delete", lambda self, ids: None)
    drain.drain_once(reader)
    monkeypatch.undo()
    assert drain.drain_all(Outbox(outbox.path)) == 1
    assert UsageRecord.objects.count() == 1


@pytest.mark.parametrize("refusal", [DataError("too long"), IntegrityError("no such row"), ValueError("a bug")])
def test_an_event_that_the_ledger_refuses_is_rejected_and_holds_up_no_other(
    outbox: Outbox,
    drained: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refusal: Exception,
) -> None:
    add = writer.add

    def refusing(events: list[Any]) -> int:
        if any(one.model == "refused" for one in events):
            raise refusal
        return add(events)

    monkeypatch.setattr(writer, "add", refusing)
    for model in ("gpt-4.1", "refused", "gpt-4.1-mini"):
        record(event(model=model))
    assert drained() == 3
    assert sorted(UsageRecord.objects.values_list("ai_model", flat=True)) == ["gpt-4.1", "gpt-4.1-mini"]
    assert (outbox.backlog().events, outbox.backlog().rejected) == (0, 1)
    assert str(refusal) in caplog.text

    monkeypatch.undo()
    assert outbox.put_back() == 1
    assert drained() == 1
    assert UsageRecord.objects.filter(ai_model="refused").count() == 1


def test_bytes_that_are_no_event_are_rejected_wherever_they_stand(outbox: Outbox, drained: Callable[[], int]) -> None:
    for number in range(7):
        record(event())
        if number % 3 == 0:
            outbox.append(b"not an event")
    assert drained() == 10
    assert (UsageRecord.objects.count(), outbox.backlog().rejected, outbox.backlog().events) == (7, 3, 0)


def test_a_drain_that_dies_among_refused_events_loses_none(
    outbox: Outbox, drained: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is halved; the database goes away between two halves."""
    for number in range(8):
        record(event(request_id=f"event {number}", model="refused" if number == 2 else "gpt-4.1"))
    add = writer.add
    for calls in range(1, 12):
        left = calls

        def dying(events: list[Event]) -> int:
            nonlocal left
            left -= 1
            if left < 0:
                raise OperationalError("gone")
            if any(one.model == "refused" for one in events):
                raise DataError("refused")
            return add(events)

        monkeypatch.setattr(writer, "add", dying)
        with contextlib.suppress(drain.DatabaseAwayError):
            drained()
        there = UsageRecord.objects.count()
        assert there + outbox.backlog().rejected + outbox.backlog().events == 8
    assert (there, outbox.backlog().rejected) == (7, 1)


# ── Whose outbox it is ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_outbox_belongs_to_the_first_ledger_that_it_is_drained_to(
    outbox: Outbox, drained: Callable[[], int]
) -> None:
    record(event())
    assert outbox.ledger_id == ""
    drained()
    assert outbox.ledger_id == str(Installation.objects.get().ledger_id)
    record(event())
    assert drained() == 1
    assert Installation.objects.count() == 1


def test_a_drain_that_is_connected_to_another_database_moves_nothing(
    outbox: Outbox, drained: Callable[[], int]
) -> None:
    """Django's test runner makes a new database, and so does a second service with the same outbox."""
    record(event())
    drained()
    Installation.objects.update(ledger_id=uuid.uuid4())
    record(event())
    outbox.append(b"not an event")
    with pytest.raises(drain.OtherLedgerError, match="--adopt"):
        drained()
    assert (outbox.backlog().events, outbox.backlog().rejected, UsageRecord.objects.count()) == (2, 0, 1)
    drain.adopt(outbox)
    assert drained() == 2


@pytest.mark.parametrize("outage", [OperationalError("connection refused"), ProgrammingError("no such table")])
def test_events_stay_while_the_database_is_away(
    outbox: Outbox, drained: Callable[[], int], monkeypatch: pytest.MonkeyPatch, outage: Exception
) -> None:
    def away(events: list[Any]) -> int:
        raise outage

    record(event())
    monkeypatch.setattr(writer, "add", away)
    with pytest.raises(drain.DatabaseAwayError, match=str(outage)):
        drained()
    assert (outbox.backlog().events, outbox.backlog().rejected) == (1, 0)
    monkeypatch.undo()
    assert drained() == 1


def test_one_process_drains_at_a_time(outbox: Outbox) -> None:
    outbox.append(b"")
    with other_drain(outbox.path), pytest.raises(drain.DrainBusyError), drain.exclusively(outbox.path):
        pass
    with drain.exclusively(outbox.path):
        pass
