"""Lists of calls, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import factories, rows
from tests.support.rows import NOON
from usage_billing import reports
from usage_billing.api import parameters
from usage_billing.models import UsageRecord
from usage_billing.reports import ORDERINGS, Period
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db
EVERY_ORDERING = [sign + name for name in ORDERINGS for sign in ("", "-")]

# More digits than a float has, neighbours of each other, and equal ones.
AMOUNTS = [
    None,
    Decimal(0),
    Decimal("0.000000000001"),
    Decimal("0.1"),
    Decimal("0.3"),
    Decimal("999.123456789012"),
    Decimal("1234.123456789012"),
    Decimal("1234.123456789013"),
    Decimal("12345.678901234567"),
    Decimal("12345.678901234568"),
    Decimal("99999999.999999999999"),
]


def enter(amounts: list[Decimal | None]) -> None:
    org = factories.organization()
    rows.enter(
        *(
            rows.row(
                org,
                cost_usd=amount,
                cost_rub=None,
                usd_rub_rate=None,
                prompt_tokens=number % 3,
                execution_time_ms=number % 2,
                created_at=NOON - timedelta(microseconds=number // 2),
            )
            for number, amount in enumerate(amounts)
        )
    )


def pages(ordering: str, limit: int) -> Iterator[list[int]]:
    """Page after page, by the cursor as the API writes and reads it."""
    after = None
    for _ in range(UsageRecord.objects.count() + 1):
        page = reports.page(EVERYTHING, ordering=ordering, limit=limit, after=after)
        yield [call.pk for call in page.calls]
        if page.next is None:
            return
        after = parameters.position(parameters.cursor(ordering, page.next), ordering)
    raise AssertionError("there are more pages than calls")


@pytest.mark.parametrize("ordering", EVERY_ORDERING)
@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
def test_the_pages_are_the_list(ordering: str, limit: int) -> None:
    enter(AMOUNTS * 3)
    whole = [call.pk for call in reports.calls(EVERYTHING, ordering=ordering)]
    found = list(pages(ordering, limit))
    assert [pk for page in found for pk in page] == whole
    assert len(whole) == (30 if "cost" in ordering else 33)
    assert all(len(page) == limit for page in found[:-1])


@settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.decimals(0, Decimal("9999999"), places=12, allow_nan=False) | st.sampled_from(AMOUNTS),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["cost_usd", "-cost_usd"]),
)
def test_the_pages_are_the_list_for_any_amounts(amounts: list[Decimal | None], ordering: str) -> None:
    UsageRecord.objects.all().delete()
    enter(amounts)
    whole = [call.pk for call in reports.calls(EVERYTHING, ordering=ordering)]
    assert [pk for page in pages(ordering, 1) for pk in page] == whole


def test_an_offset_skips_as_many() -> None:
    enter([None] * 5)
    assert reports.page(EVERYTHING, limit=2, offset=1).calls == list(reports.calls(EVERYTHING))[1:3]
    assert reports.page(EVERYTHING, limit=2, offset=9) == reports.Page([], None)


def test_a_page_that_ends_with_the_list_has_no_next() -> None:
    enter([None] * 4)
    assert reports.page(EVERYTHING, limit=4).next is None
    assert reports.page(EVERYTHING, limit=3).next is not None


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu", "Europe/Moscow"])
def test_calls_of_a_period_are_those_of_its_business_days(zone: str) -> None:
    """Also where the zone is as far from UTC as there is one: +14 and -12 hours."""
    org = factories.organization(timezone=zone)
    day = date(2026, 5, 20)
    midnight = datetime(2026, 5, 20, tzinfo=org.zone)
    moments = [midnight + offset for offset in (-timedelta(seconds=1), timedelta(0), timedelta(hours=23, minutes=59))]
    rows.enter(*(rows.row(org, created_at=moment.astimezone(UTC)) for moment in [*moments, midnight + timedelta(1)]))
    found = reports.calls(EVERYTHING, period=Period(day, day + timedelta(days=1)), ordering="created_at")
    assert [call.created_at for call in found] == moments[1:]
    assert {call.usage_date for call in found} == {day}
