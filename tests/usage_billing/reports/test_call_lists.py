"""A page of calls together with the totals of all that match."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from tests.support import aged, factories
from tests.support.rows import NOON, enter, row
from usage_billing import reports
from usage_billing.reports import Period
from usage_billing.tenancy.scope import EVERYTHING, NOTHING, of_organization

pytestmark = pytest.mark.django_db


def test_totals_are_of_all_calls_and_the_page_of_some(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    org = factories.organization()
    enter(*(row(org, created_at=NOON - timedelta(days=n), cost_usd=Decimal(1)) for n in range(9)))
    enter(row(org, status="failed", cost_usd=None, cost_rub=None, created_at=NOON - timedelta(days=20)))
    with django_assert_num_queries(3):
        found = reports.calls_with_totals(of_organization(org.pk), limit=2)
    assert [call.created_at for call in found.page.calls] == [NOON, NOON - timedelta(days=1)]
    names = ("requests_count", "failed_count", "unpriced_usd_count", "cost_usd", "prompt_tokens", "completion_tokens")
    assert [found.totals[name] for name in names] == [10, 1, 1, Decimal(9), 1000, 200]
    assert found.archived_before is None


def test_nothing_is_searched_where_nothing_matches(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    enter(row(factories.organization()))
    with django_assert_num_queries(2):
        found = reports.calls_with_totals(EVERYTHING, filters={"agent_id": "nobody"}, limit=2)
    assert (found.page.calls, found.totals["requests_count"]) == ([], 0)
    assert reports.calls_with_totals(NOTHING, limit=2).page.calls == []


@pytest.mark.parametrize("ordering", ["created_at", "-created_at"])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_pages_are_the_list_where_days_of_two_zones_overlap(ordering: str, limit: int) -> None:
    orgs = [factories.organization(timezone=zone) for zone in ("Pacific/Kiritimati", "Etc/GMT+12")]
    enter(*(row(orgs[n % 2], created_at=datetime(2026, 5, 18, tzinfo=UTC) + timedelta(hours=3 * n)) for n in range(24)))
    whole = [call.pk for call in reports.calls(EVERYTHING, ordering=ordering)]
    pages, after = [], None
    while True:
        page = reports.calls_with_totals(EVERYTHING, ordering=ordering, limit=limit, after=after).page
        pages += [call.pk for call in page.calls]
        after = page.next
        if after is None:
            break
    assert pages == whole
    for offset in (0, 4, 23, 24, 30):
        page = reports.calls_with_totals(EVERYTHING, ordering=ordering, limit=limit, offset=offset).page
        assert [call.pk for call in page.calls] == whole[offset : offset + limit]


def test_calls_of_an_archived_month_are_counted_and_not_listed(settings: Settings, tmp_path: Path) -> None:
    aged.use(settings, tmp_path)
    aged.fill()
    aged.archive(aged.MAY)
    found = reports.calls_with_totals(EVERYTHING, limit=100, period=Period(aged.MARCH))
    assert found.totals["requests_count"] == 3 * aged.CALLS
    assert len(found.page.calls) == aged.CALLS
    assert found.archived_before == aged.MAY
