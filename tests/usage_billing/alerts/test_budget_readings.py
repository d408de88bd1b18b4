"""Shares of budgets and forecasts, in windows of the organisation's billing days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.support.factories import NOON
from tests.usage_billing.alerts.conftest import budget, calls, rule
from usage_billing.alerts import readings_of
from usage_billing.models import AlertRule, Budget, Organization

FIRST_OF_NOVEMBER = datetime(2026, 11, 1, 9, tzinfo=UTC)


def test_shares_of_the_limit(org: Organization) -> None:
    found = budget(org, "0.001", thresholds=[50, 80])
    calls(org)
    readings = readings_of(found, NOON).by_key
    assert {key: reading.crosses for key, reading in readings.items()} == {
        "2026-11-01/50": True,
        "2026-11-01/80": False,
        "2026-10-01/50": False,
        "2026-10-01/80": False,
    }
    assert (readings["2026-11-01/50"].value, readings["2026-11-01/50"].bound) == (Decimal("0.00056"), Decimal("0.0005"))


def test_a_window_before_the_budget_is_not_looked_at(org: Organization) -> None:
    found = budget(org, "0.001", thresholds=[50], created_at=FIRST_OF_NOVEMBER)
    calls(org, at=NOON - timedelta(days=20))
    assert [*readings_of(found, NOON).by_key] == ["2026-11-01/50", "2026-11-01/forecast"]


def test_late_data_crosses_in_the_window_before(org: Organization) -> None:
    found = budget(org, "0.001", thresholds=[50])
    calls(org, at=NOON - timedelta(days=30))
    reading = readings_of(found, NOON).by_key["2026-10-01/50"]
    assert (reading.crosses, reading.is_open) == (True, False)


def test_days_are_the_organisations(org: Organization) -> None:
    """At 22:30 in UTC it is tomorrow in Moscow."""
    found = budget(org, "0.001", thresholds=[50], window=Budget.Window.DAY)
    evening = NOON.replace(hour=22, minute=30)
    calls(org, at=evening)
    readings = readings_of(found, evening).by_key
    assert readings["2026-11-19/50"].crosses
    assert not readings["2026-11-18/50"].crosses


def test_the_forecast_passes_the_limit_before_it_is_spent(org: Organization) -> None:
    found = budget(org, "0.010", thresholds=[])
    for day in range(1, 18):
        calls(org, at=NOON - timedelta(days=day))
    reading = readings_of(found, NOON).by_key["2026-11-01/forecast"]
    assert reading.crosses
    assert reading.is_news
    assert reading.value is not None
    assert reading.value > Decimal("0.010") > Decimal("0.00056") * 17


def test_a_forecast_is_no_news_once_all_is_spent(org: Organization) -> None:
    found = budget(org, "0.001", thresholds=[100])
    for day in range(1, 18):
        calls(org, at=NOON - timedelta(days=day))
    reading = readings_of(found, NOON).by_key["2026-11-01/forecast"]
    assert (reading.crosses, reading.is_news) == (True, False)


def test_a_total_has_no_window_before_and_no_forecast(org: Organization) -> None:
    found = budget(org, "0.001", thresholds=[50], window=Budget.Window.TOTAL)
    calls(org)
    assert [*readings_of(found, NOON).by_key] == ["2026-11-18/50"]


def test_rules_watch_a_share_or_the_forecast_of_a_budget(org: Organization) -> None:
    found = budget(org, "0.001", thresholds=[])
    calls(org)
    share = rule(org, AlertRule.Kind.BUDGET_SHARE, budget=found, bound="55.5", created_at=NOON)
    reading = readings_of(share, NOON).by_key
    assert [*reading] == ["2026-11-01/55.5"]
    assert reading["2026-11-01/55.5"].crosses
    forecast = rule(org, AlertRule.Kind.FORECAST, name="F", budget=found, bound="90", created_at=NOON)
    calls(org, at=NOON - timedelta(days=1))
    assert readings_of(forecast, NOON).by_key["2026-11-01/forecast"].bound == Decimal("0.0009")


def test_units(org: Organization) -> None:
    tokens = budget(org, "2000", thresholds=[50], unit=Budget.Unit.TOKENS)
    count = budget(org, "2", name="Calls", thresholds=[50], unit=Budget.Unit.CALLS)
    calls(org)
    assert readings_of(tokens, NOON).by_key["2026-11-01/50"].value == 1100
    assert readings_of(count, NOON).by_key["2026-11-01/50"].crosses
