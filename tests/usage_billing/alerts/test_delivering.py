"""Deliveries: claimed by one, tried again, given up, in order, and deleted in the end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from tests.support import factories, loopback
from tests.support.factories import NOON
from tests.support.loopback import Answered, Received
from tests.usage_billing.alerts.conftest import budget, calls, channel
from usage_billing.alerts import check_all, delivering, prune, send_due, webhook_channel
from usage_billing.alerts.delivering import CLAIM_FOR, GIVE_UP_AFTER, pause_after
from usage_billing.models import AlertChannel, AlertDelivery, AlertFiring, Organization
from usage_billing.recording.outbox import Outbox

OK = Answered([b"ok"])
pytestmark = pytest.mark.usefixtures("private_allowed")


def delivery(
    to: AlertChannel, firing: AlertFiring | None = None, event: str = "firing", **fields: Any
) -> AlertDelivery:
    firing = firing or raised(to)
    given = {"next_attempt_at": timezone.now() - timedelta(seconds=1)} | fields
    return AlertDelivery.objects.create(org=to.org, channel=to, firing=firing, event=event, value=1, **given)


def raised(to: AlertChannel) -> AlertFiring:
    assert to.org is not None
    name = f"Budget {AlertFiring.objects.count()}"
    return AlertFiring.objects.create(
        org=to.org, budget=budget(to.org, "1", name=name), key="2026-11-01/50", value=1, bound=1, began_at=NOON
    )


def state(of: AlertDelivery) -> tuple[str, int]:
    of.refresh_from_db()
    return of.state, of.attempts


def test_pauses_double_to_two_hours_and_differ_a_little() -> None:
    for attempts, seconds in ((1, 30), (2, 60), (3, 120), (8, 3840), (9, 7200), (500, 7200)):
        found = [pause_after(attempts).total_seconds() for _ in range(50)]
        assert 0.8 * seconds <= min(found) < max(found) <= 1.2 * seconds
    assert pause_after(1, timedelta(hours=5)) == timedelta(hours=5)


def test_it_is_tried_until_it_is_taken(org: Organization) -> None:
    answers = iter([Answered([b""], status=503), Answered([b""], breaks_off=True, status=500), OK])
    with loopback.serving(lambda _: next(answers)) as server:
        found = delivery(channel(org, server.url))
        send_due()
        assert state(found) == ("waiting", 1)
        assert found.next_attempt_at > timezone.now() + timedelta(seconds=20)
        assert send_due() == [], "its time has not come"
        for _ in range(2):
            AlertDelivery.objects.update(next_attempt_at=timezone.now())
            send_due()
    assert state(found) == ("sent", 3)
    assert found.sent_at is not None


def test_it_is_given_up_after_a_day(org: Organization) -> None:
    with loopback.serving(lambda _: Answered([b""], status=503)) as server:
        found = delivery(channel(org, server.url), created_at=timezone.now() - GIVE_UP_AFTER)
        send_due()
        assert state(found) == ("failed", 1)
        assert found.problem == "The server answered with status 503."


@pytest.mark.parametrize("status", [404, 410])
def test_an_address_that_is_gone_fails_at_once(org: Organization, status: int) -> None:
    with loopback.serving(lambda _: Answered([b""], status=status)) as server:
        found = delivery(channel(org, server.url))
        send_due()
    assert state(found) == ("failed", 1)
    assert found.problem.startswith("Nobody takes messages at this address any more")


def test_retry_after_is_honoured(org: Organization) -> None:
    with loopback.serving(lambda _: Answered([b""], status=429, headers={"Retry-After": "7200"})) as server:
        found = delivery(channel(org, server.url))
        send_due()
    assert state(found) == ("waiting", 1)
    assert found.next_attempt_at > timezone.now() + timedelta(minutes=119)


def test_the_end_waits_for_the_beginning(org: Organization) -> None:
    answers = iter([Answered([b""], status=503), OK, OK])
    with loopback.serving(lambda _: next(answers)) as server:
        to = channel(org, server.url)
        begin = delivery(to)
        end = delivery(to, begin.firing, "resolved")
        send_due()
        send_due()
        assert (state(begin), state(end)) == (("waiting", 1), ("waiting", 0))
        AlertDelivery.objects.update(next_attempt_at=timezone.now())
        send_due()
        send_due()
    assert (state(begin), state(end)) == (("sent", 2), ("sent", 1))


def test_a_failing_channel_is_tried_once_a_round(org: Organization) -> None:
    with loopback.serving(lambda _: Answered([b""], status=503)) as bad, loopback.serving(lambda _: OK) as good:
        failing, sound = channel(org, bad.url, name="Bad"), channel(org, good.url, name="Good")
        for to in (failing, failing, sound, failing, sound):
            delivery(to)
        send_due()
    assert (len(bad.requests), len(good.requests)) == (1, 2)


def test_an_organisation_of_slow_channels_does_not_hold_up_the_others(
    org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "OF_ONE_ORG_S", 0.0)
    other = factories.organization()
    with loopback.serving(lambda _: OK) as server:
        first, second = (channel(org, server.url, name=name) for name in "ab")
        for to in (first, second, first, second):
            delivery(to)
        last = delivery(channel(other, server.url))
        send_due(limit=2)
        assert state(last) == ("sent", 1)
        assert AlertDelivery.objects.filter(org=org, state="waiting").count() == 3
        while send_due():
            pass
    assert not AlertDelivery.objects.filter(state="waiting").exists()


def test_a_channel_that_was_switched_off_gets_nothing(org: Organization) -> None:
    with loopback.serving(lambda _: OK) as server:
        to = channel(org, server.url)
        found = delivery(to)
        AlertChannel.objects.update(is_active=False)
        send_due()
    assert (state(found), server.requests) == (("failed", 1), [])


def test_an_error_of_ours_is_noted_and_holds_nobody_up(
    org: Organization, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("whsec_secret")

    with loopback.serving(lambda _: OK) as server:
        first = delivery(channel(org, server.url, name="Broken", kind="slack"))
        second = delivery(channel(org, server.url))
        monkeypatch.setattr("usage_billing.alerts.slack_channel.send", broken)
        send_due()
    assert (state(first), state(second)) == (("waiting", 1), ("sent", 1))
    assert first.problem == "An error of this program: RuntimeError."


def test_old_deliveries_are_deleted(org: Organization) -> None:
    to = channel(org)
    old, now = timezone.now() - timedelta(days=91), timezone.now()
    gone = delivery(to, state="sent", created_at=old)
    kept = [delivery(to, state="sent"), delivery(to, created_at=old)]
    over = raised(to)
    AlertFiring.objects.filter(pk=over.pk).update(state="resolved", resolved_at=now - timedelta(days=366))
    assert prune(now) == 2
    assert {*AlertDelivery.objects.all()} == {*kept}
    assert gone.firing_id in AlertFiring.objects.values_list("pk", flat=True)
    assert not AlertFiring.objects.filter(pk=over.pk).exists()


# ── Several senders ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db(transaction=True)
def test_several_senders_at_once_send_each_message_once() -> None:
    org = factories.organization()

    def slowly(_: Received) -> Answered:
        time.sleep(0.05)
        return OK

    with loopback.serving(slowly) as server:
        for number in range(6):
            delivery(channel(org, server.url, name=f"Channel {number}"))
        start, errors = threading.Barrier(4), []

        def work() -> None:
            try:
                start.wait()
                send_due()
            except Exception as error:  # noqa: BLE001 - the test shows it
                errors.append(error)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert errors == []
    ids = [each.headers["webhook-id"] for each in server.requests]
    assert len(ids) == len({*ids}) == 6


def test_a_killed_senders_message_is_sent_by_another(
    database_url: str, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender is killed while the receiver has its message and has not answered."""
    org = factories.organization()
    arrived, go_on = threading.Event(), threading.Event()

    def first_hangs(_: Received) -> Answered:
        if not arrived.is_set():
            arrived.set()
            go_on.wait(60)
        return OK

    with loopback.serving(first_hangs) as server:
        found = delivery(channel(org, server.url))
        environment = {
            **os.environ,
            "DEBUG": "1",
            "DATABASE_URL": database_url,
            "USAGE_OUTBOX_PATH": str(outbox.path),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "ALERTS_ALLOW_PRIVATE_ADDRESSES": "1",
        }
        command = [sys.executable, "manage.py", "check_alerts"]
        with subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[3]) as sender:
            assert arrived.wait(60)
            sender.kill()
        go_on.set()
        assert state(found) == ("waiting", 1)
        assert send_due() == [], "the claim holds: the sender could still be at it"
        now = timezone.now()
        monkeypatch.setattr(timezone, "now", lambda: now + CLAIM_FOR)
        send_due()
    assert state(found) == ("sent", 2)
    ids = [each.headers["webhook-id"] for each in server.requests]
    # The last one tells that the alert is over: the command has evaluated it.
    assert ids[:-1] == [f"msg_{found.message_id.hex}"] * 2, "the receiver sees that it is the same message"


@pytest.mark.django_db(transaction=True)
def test_a_sender_whose_claim_has_expired_does_not_overwrite_the_outcome() -> None:
    org = factories.organization()

    def meanwhile(_: Received) -> Answered:
        AlertDelivery.objects.update(attempts=2, state="sent", problem="by another")
        connections.close_all()
        return Answered([b""], status=503)

    with loopback.serving(meanwhile) as server:
        found = delivery(channel(org, server.url))
        send_due()
    found.refresh_from_db()
    assert (found.state, found.attempts, found.problem) == ("sent", 2, "by another")


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_a_message_is_sent() -> None:
    org = factories.organization()
    factories.rate()
    calls(org)
    budget(org, "0.001", thresholds=[50])
    blocks = []
    real = webhook_channel.send

    def seen(*args: Any) -> None:
        blocks.append(connections["default"].in_atomic_block)
        real(*args)

    with loopback.serving(lambda _: OK) as server, pytest.MonkeyPatch.context() as patched:
        patched.setattr(webhook_channel, "send", seen)
        channel(org, server.url)
        check_all(NOON)
        send_due()
    assert blocks == [False]
