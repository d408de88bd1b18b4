"""Saving the bank's rates: new ones, replaced ones, refused jumps."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError

from tests.support import factories
from tests.support.factories import TODAY, event
from usage_billing.exchange_rates.saving import RateJumpError, Saved, save
from usage_billing.ledger import writer
from usage_billing.models import ExchangeRate, UsageRecord

YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)

pytestmark = pytest.mark.django_db


def enter(day: date, usd_rub: str, source: str) -> None:
    ExchangeRate.objects.create(date=day, usd_rub=Decimal(usd_rub), source=source)


def table() -> dict[date, tuple[Decimal, str]]:
    return {row.date: (row.usd_rub, row.source) for row in ExchangeRate.objects.all()}


def test_save_new_rates() -> None:
    rates = {TODAY: Decimal("80.1234"), TOMORROW: Decimal("81")}
    assert save(rates) == Saved(rates, 0)
    assert table() == {TODAY: (Decimal("80.1234"), "cbr"), TOMORROW: (Decimal("81"), "cbr")}


def test_save_nothing() -> None:
    enter(TODAY, "80", "cbr")
    assert save({}) == Saved({}, 0)
    assert table() == {TODAY: (Decimal("80"), "cbr")}


def test_save_the_same_again_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    save({TODAY: Decimal("80.1234")})
    assert save({TODAY: Decimal("80.1234")}) == Saved({}, 0)
    assert caplog.records == []


def test_save_never_overwrites_what_was_entered_by_hand() -> None:
    enter(TODAY, "79", "manual")
    enter(YESTERDAY, "78", "manual")
    before = YESTERDAY - timedelta(days=1)
    new = {before: Decimal("77"), TOMORROW: Decimal("81")}
    assert save({**new, TODAY: Decimal("80")}) == Saved(new, 1)
    assert table() == {
        before: (Decimal("77"), "cbr"),
        YESTERDAY: (Decimal("78"), "manual"),
        TODAY: (Decimal("79"), "manual"),
        TOMORROW: (Decimal("81"), "cbr"),
    }


def test_save_yields_to_somebody_who_enters_a_day_at_this_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    insert = ExchangeRate.objects.bulk_create

    def just_too_late(new: list[ExchangeRate], **options: Any) -> None:
        enter(TODAY, "79", "manual")
        insert(new, **options)

    monkeypatch.setattr(ExchangeRate.objects, "bulk_create", just_too_late)
    save({TODAY: Decimal("80"), TOMORROW: Decimal("81")})
    assert table() == {TODAY: (Decimal("79"), "manual"), TOMORROW: (Decimal("81"), "cbr")}


def test_save_replaces_a_demonstrations_rates_on_the_banks_days_only(caplog: pytest.LogCaptureFixture) -> None:
    for day in (YESTERDAY, TODAY, TOMORROW):
        enter(day, "70", "demo")
    # An equal amount is replaced too: its source becomes the bank.
    rates = {YESTERDAY: Decimal("70"), TOMORROW: Decimal("80")}
    assert save(rates) == Saved(rates, 0)
    assert table() == {
        YESTERDAY: (Decimal("70"), "cbr"),
        TODAY: (Decimal("70"), "demo"),
        TOMORROW: (Decimal("80"), "cbr"),
    }
    assert caplog.records == []


def test_save_logs_what_the_bank_has_changed(caplog: pytest.LogCaptureFixture) -> None:
    enter(TODAY, "80", "cbr")
    with caplog.at_level(logging.WARNING):
        assert save({TODAY: Decimal("80.5")}) == Saved({TODAY: Decimal("80.5")}, 0)
    assert table() == {TODAY: (Decimal("80.5"), "cbr")}
    assert caplog.messages == ["The Bank of Russia changed its rate of 2026-11-18 from 80.00000000 to 80.5."]


def test_save_leaves_records_as_they_were_converted() -> None:
    enter(TODAY, "80", "cbr")
    writer.add([event(org=factories.organization())])
    save({TODAY: Decimal("90")})
    record = UsageRecord.objects.get()
    assert (record.usd_rub_rate, record.cost_rub) == (Decimal("80"), Decimal("0.0448"))


def test_save_all_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    enter(TODAY, "80", "cbr")

    def fail(*args: object) -> None:
        raise DatabaseError("disk full")

    # The new rates are inserted by then.
    monkeypatch.setattr(ExchangeRate.objects, "bulk_update", fail)
    with pytest.raises(DatabaseError):
        save({TODAY: Decimal("81"), TOMORROW: Decimal("82")})
    assert table() == {TODAY: (Decimal("80"), "cbr")}


# ── Jumps ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rate", ["40", "120", "80.1234"])
def test_save_half_up_or_down_is_no_jump(rate: str) -> None:
    factories.rate(YESTERDAY, "80")
    assert save({TODAY: Decimal(rate)}).rates == {TODAY: Decimal(rate)}


@pytest.mark.parametrize("rate", ["39.9999", "120.0001", "8012.34", "0.8", "0.00000001"])
def test_save_refuses_a_jump_and_all_that_came_with_it(rate: str) -> None:
    factories.rate(YESTERDAY, "80")
    with pytest.raises(RateJumpError) as jump:
        save({TODAY: Decimal("81"), TOMORROW: Decimal(rate)})
    assert str(jump.value) == (f"{rate} RUB per USD on 2026-11-19 is more than 50% away from 80 on 2026-11-17.")
    assert table() == {YESTERDAY: (Decimal("80"), "manual")}


def test_save_takes_a_jump_that_somebody_has_looked_at() -> None:
    factories.rate(YESTERDAY, "80")
    assert save({TODAY: Decimal("200")}, accept_jumps=True).rates == {TODAY: Decimal("200")}


def test_save_refuses_jumps_within_an_answer() -> None:
    """Each rate is within half of the last known one, but not of the day before."""
    factories.rate(YESTERDAY, "80")
    with pytest.raises(
        RateJumpError, match="119 RUB per USD on 2026-11-19 is more than 50% away from 41 on 2026-11-18"
    ):
        save({TODAY: Decimal("41"), TOMORROW: Decimal("119")})


def test_save_refuses_to_be_led_away_step_by_step() -> None:
    factories.rate(YESTERDAY, "80")
    steps = {TODAY + timedelta(days=number): Decimal(80 + 20 * number) for number in range(4)}
    with pytest.raises(
        RateJumpError, match="140 RUB per USD on 2026-11-21 is more than 50% away from 80 on 2026-11-17"
    ):
        save(steps)


def test_save_compares_with_the_first_rate_known_where_there_is_none_before() -> None:
    factories.rate(TODAY, "80")
    factories.rate(TOMORROW, "30")
    with pytest.raises(
        RateJumpError, match="130 RUB per USD on 2026-11-17 is more than 50% away from 80 on 2026-11-18"
    ):
        save({YESTERDAY: Decimal("130")})


def test_save_compares_with_nothing_made_up() -> None:
    enter(YESTERDAY, "8", "demo")
    assert save({TODAY: Decimal("80")}).rates == {TODAY: Decimal("80")}


@pytest.mark.parametrize("rate", ["0.9999", "10000.01"])
def test_save_refuses_an_absurd_first_rate(rate: str) -> None:
    with pytest.raises(RateJumpError, match=f"{rate} RUB per USD on 2026-11-18 is not between 1 and 10000"):
        save({TODAY: Decimal(rate)})
    assert table() == {}


@pytest.mark.parametrize("rate", ["1", "10000"])
def test_save_takes_a_first_rate_that_could_be(rate: str) -> None:
    assert save({TODAY: Decimal(rate)}).rates == {TODAY: Decimal(rate)}
