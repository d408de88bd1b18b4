"""The outbox of this machine, and silence."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from django.utils import timezone
from pytest_django import Settings

from tests.support import factories
from tests.support.configure import configure
from tests.support.factories import NOON, event
from tests.usage_billing.alerts.conftest import calls, rule
from usage_billing import recording
from usage_billing.alerts import readings_of
from usage_billing.alerts.standstill_readings import outbox_name
from usage_billing.models import AlertRule, Organization
from usage_billing.recording.outbox import Outbox

Kind = AlertRule.Kind


def test_events_that_wait(org: Organization, outbox: Outbox) -> None:
    backlog = rule(None, Kind.BACKLOG, bound=2)
    recording.record(event(org=org), event(org=org))
    assert not readings_of(backlog, NOON).by_key[outbox_name()].crosses
    recording.record(event(org=org))
    reading = readings_of(backlog, NOON).by_key[outbox_name()]
    assert (reading.crosses, reading.value) == (True, Decimal(3))


def test_an_outbox_that_cannot_be_read_tells_nothing(org: Organization, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    configure(settings, OUTBOX_PATH=str(tmp_path / "file" / "outbox"))
    assert readings_of(rule(None, Kind.BACKLOG, bound=1), NOON).by_key[outbox_name()].value is None


def test_silence_counts_from_the_newest_call(org: Organization) -> None:
    silence = rule(org, Kind.SILENCE, bound=3)
    assert readings_of(silence, NOON).by_key == {}, "a scope that never had a call is not silent"
    calls(org, at=NOON - timedelta(hours=9))
    calls(org, at=NOON - timedelta(hours=2))
    assert not readings_of(silence, NOON).by_key[""].crosses
    reading = readings_of(silence, NOON + timedelta(hours=1)).by_key[""]
    assert (reading.crosses, reading.value) == (True, Decimal(3))


def test_refused_calls_do_not_break_the_silence(org: Organization) -> None:
    calls(org, at=NOON - timedelta(hours=9))
    calls(org, at=NOON, status="refused", usage=factories.chat_usage(0, 0))
    assert readings_of(rule(org, Kind.SILENCE, bound=3), NOON).by_key[""].crosses


def test_silence_of_each_organisation(org: Organization) -> None:
    quiet, closed = factories.organization(), factories.organization()
    for each in (quiet, closed):
        calls(each, at=NOON - timedelta(hours=9))
    closed.closed_at = timezone.now()
    closed.save()
    calls(org)
    silence = rule(None, Kind.SILENCE, by="org_id", bound=3)
    found = readings_of(silence, NOON).by_key
    assert {key: reading.crosses for key, reading in found.items()} == {str(org.pk): False, str(quiet.pk): True}
