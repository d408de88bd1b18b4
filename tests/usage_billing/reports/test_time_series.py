"""Totals by hour: of the calls, in the reader's zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from tests.support import aged, factories
from tests.support.rows import NOON, enter, row
from usage_billing import reports
from usage_billing.reports import Period, PeriodTooLongError
from usage_billing.tenancy.scope import EVERYTHING, of_organization

pytestmark = pytest.mark.django_db
TODAY = NOON.date()
MOSCOW = ZoneInfo("Europe/Moscow")


def test_hours_have_no_gaps_and_end_now(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    org = factories.organization()
    moments = [datetime(2026, 5, 20, hour, minute, tzinfo=MOSCOW) for hour, minute in ((0, 0), (0, 59), (5, 30))]
    enter(*(row(org, created_at=moment.astimezone(UTC)) for moment in moments))
    enter(row(org, created_at=(moments[0] - timedelta(seconds=1)).astimezone(UTC)))
    scope = of_organization(org.pk, "Europe/Moscow")
    with django_assert_num_queries(1):
        rows = reports.time_series(scope, Period(TODAY), TODAY, step="hour", now=moments[2])
    assert [each["date"] for each in rows] == [datetime(2026, 5, 20, hour, tzinfo=MOSCOW) for hour in range(6)]
    assert [each["requests_count"] for each in rows] == [2, 0, 0, 0, 0, 1]
    assert [each["cost_usd"] for each in rows][:2] == [1, 0]


def test_an_hour_of_a_day_elsewhere_is_listed_too() -> None:
    org = factories.organization(timezone="Asia/Vladivostok")
    enter(row(org, created_at=datetime(2026, 5, 19, 14, 30, tzinfo=UTC)))  # 00:30 of the 20th there
    rows = reports.time_series(EVERYTHING, Period(TODAY, TODAY + timedelta(days=1)), TODAY, step="hour")
    assert rows[0]["date"] == datetime(2026, 5, 19, 14, tzinfo=UTC)
    assert len(rows) == 24 + 7
    assert sum(each["requests_count"] for each in rows) == 1


@pytest.mark.parametrize("period", [Period(), Period(TODAY - timedelta(days=7)), Period(None, TODAY)])
def test_many_days_by_hour_are_refused(period: Period) -> None:
    with pytest.raises(PeriodTooLongError, match="7"):
        reports.time_series(EVERYTHING, period, TODAY, step="hour")
    assert reports.time_series(EVERYTHING, Period(TODAY - timedelta(days=6)), TODAY, step="hour")


def test_hours_of_a_tag_are_a_stack() -> None:
    org = factories.organization(timezone="UTC")
    enter(*(row(org, created_at=NOON - timedelta(hours=n), tags={"env": "prod"} if n % 2 else {}) for n in range(4)))
    period = Period(TODAY, TODAY + timedelta(days=1))
    whole = reports.time_series(EVERYTHING, period, TODAY, step="hour")
    prod, rest = reports.stacked_series(EVERYTHING, ["tag.env"], [("prod",)], whole, period, step="hour")
    assert [prod.key, rest.key] == [("prod",), None]
    assert [[each["requests_count"] for each in series.rows] for series in (prod, rest)] == [
        [1 if each["date"].astimezone(UTC).hour in hours else 0 for each in whole] for hours in ((9, 11), (10, 12))
    ]


def test_archived_calls_are_in_no_hour(settings: Settings, tmp_path: Path) -> None:
    aged.use(settings, tmp_path)
    aged.fill()
    aged.archive()
    period = Period(aged.MAY, aged.MAY + timedelta(days=7))
    rows = reports.time_series(EVERYTHING, period, TODAY, step="hour")
    assert sum(each["requests_count"] for each in rows) == 0
    assert reports.archived_before(period) == aged.JUNE
