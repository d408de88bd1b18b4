"""Commands print what they did, and exit non-zero when they did not do it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
import tqdm
from django.core.management import CommandError, call_command

from tests.support import factories
from tests.support.factories import NOON, event
from usage_billing.ledger import drain, writer
from usage_billing.management.commands import check_usage, rebuild_daily
from usage_billing.models import DailyTagUsage, DailyUsage, UsageRecord
from usage_billing.recording import record
from usage_billing.recording.outbox import Outbox

pytestmark = pytest.mark.django_db


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: Any) -> str:
        call_command(*arguments)
        return capsys.readouterr().out

    return run


def test_rebuild_daily_makes_the_days_named_anew(printed: Callable[..., str]) -> None:
    writer.add([event(org=factories.organization(), attribution={"tags": {"env": "prod"}})])
    DailyUsage.objects.update(requests_count=99)
    DailyTagUsage.objects.all().delete()
    assert printed("rebuild_daily", "--from", "2026-11-01", "--to", "2026-11-30") == (
        "Rebuilt the rollups of 2026-11-01 to 2026-11-30. Days with calls: 1. Wrong rows: 16.\n"
    )
    assert DailyTagUsage.objects.filter(tag_key="env", tag_value="prod", time_le_1280=1).count() == 4
    call_command("check_usage")


@pytest.mark.parametrize("command", [rebuild_daily, check_usage])
def test_the_bar_shows_the_day_that_a_killed_run_got_to(
    command: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    org = factories.organization()
    writer.add([event(org=org, at=NOON - timedelta(days=ago)) for ago in range(3)])
    shown = {"mininterval": 0, "delay": 0, "disable": False}
    monkeypatch.setattr(command, "tqdm", lambda days, **options: tqdm.tqdm(days, **options | shown))
    first, last = NOON.date() - timedelta(days=2), NOON.date()
    call_command(command.__name__.rpartition(".")[2], "--from", str(first), "--to", str(last))
    bars = capsys.readouterr().err.split("\r")
    assert [bar for bar in bars if " 1/3 [" in bar and str(first) in bar]
    assert str(last) in bars[-1]


def test_rebuild_daily_of_one_organisation(printed: Callable[..., str]) -> None:
    org = factories.organization()
    writer.add([event(org=org), event(org=factories.organization())])
    DailyUsage.objects.filter(grain="org").update(requests_count=99)
    day = str(NOON.date())
    printed("rebuild_daily", "--from", day, "--to", day, "--org", org.slug)
    counts = DailyUsage.objects.filter(grain="org").order_by("org_id").values_list("requests_count", flat=True)
    assert list(counts) == [1, 99]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "2026-11-31", "--to", "2026-12-01"], "“2026-11-31” is not a date"),
        (["--from", "2026-11-02", "--to", "2026-11-01"], "--to (2026-11-01) is before --from"),
        (["--from", "2026-11-01", "--to", "2026-11-01", "--org", "nobody"], "There is no organisation “nobody”"),
    ],
)
def test_rebuild_daily_refuses_what_it_cannot_do(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("rebuild_daily", *arguments)
    assert str(refused.value).startswith(message)


def test_drain_usage_says_how_many(outbox: Outbox, printed: Callable[..., str]) -> None:
    record(event())
    record(event())
    assert printed("drain_usage") == f"Drained 2 events from {outbox.path}; 0 are rejected.\n"
    assert UsageRecord.objects.count() == 2


def test_drain_usage_retries_rejected_events(outbox: Outbox, printed: Callable[..., str]) -> None:
    record(event())
    outbox.reject(outbox.read(1)[0][0], "a bug that is mended now")
    assert printed("drain_usage", "--retry") == (
        "Put 1 rejected events back into the outbox.\n" + f"Drained 1 events from {outbox.path}; 0 are rejected.\n"
    )


def test_drain_usage_fails_when_the_database_is_away(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(box: Outbox) -> int:
        raise drain.DatabaseAwayError("connection refused")

    monkeypatch.setattr(drain, "drain_once", away)
    with pytest.raises(CommandError, match="connection refused"):
        call_command("drain_usage")
