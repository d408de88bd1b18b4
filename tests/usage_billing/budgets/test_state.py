"""The state of budgets: of one, and of many in few queries."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support import factories
from tests.support.rows import enter, row
from usage_billing.budgets.spending import LINGER, spending
from usage_billing.budgets.state import state, states
from usage_billing.models import Budget, BudgetLease, Organization, SettledHold

pytestmark = pytest.mark.django_db
AT = datetime(2026, 5, 20, 12, tzinfo=UTC)


@pytest.fixture
def org() -> Organization:
    return factories.organization("Acme")


def budget(org: Organization, **fields: Any) -> Budget:
    given = {"name": f"Budget {Budget.objects.count()}", "limit": Decimal(10), "starts_on": date(2026, 1, 1)}
    return Budget.objects.create(org=org, **(given | fields))


def spend(org: Organization, day: date, usd: str | None, **columns: Any) -> None:
    at = datetime(day.year, day.month, day.day, 12, tzinfo=org.zone)
    rub = None if usd is None else Decimal(usd) * 80
    enter(row(org, created_at=at, cost_usd=None if usd is None else Decimal(usd), cost_rub=rub, **columns))


def test_a_month_counts_its_days_and_expects_the_rest(org: Organization) -> None:
    spend(org, date(2026, 4, 30), "3")
    for day in range(1, 20):
        spend(org, date(2026, 5, day), "0.25")
    spend(org, date(2026, 5, 20), None)
    found = state(budget(org), AT)
    assert (found.spent, found.reserved, found.remaining) == (Decimal("4.75"), Decimal(0), Decimal("5.25"))
    assert found.unpriced == 1
    assert found.share == Decimal("0.475")
    assert not found.is_used_up
    assert found.resets_at == datetime(2026, 6, 1, tzinfo=ZoneInfo("Europe/Moscow"))
    # Twenty whole days of history cost 7.75; twelve days are left.
    assert found.forecast == Decimal("4.75") + 12 * Decimal("7.75") / 20
    assert found.runs_out_on is None


def test_more_than_the_limit_is_a_negative_rest(org: Organization) -> None:
    spend(org, date(2026, 5, 20), "11")
    found = state(budget(org), AT)
    assert (found.remaining, found.is_used_up, found.runs_out_on) == (Decimal(-1), True, date(2026, 5, 20))


@pytest.mark.parametrize(("unit", "expected"), [("usd", "1.5"), ("rub", "120"), ("tokens", "240"), ("calls", "2")])
def test_each_unit_counts_its_measure(org: Organization, unit: str, expected: str) -> None:
    spend(org, date(2026, 5, 20), "1")
    spend(org, date(2026, 5, 20), "0.5")
    refused = {"status": "refused", "prompt_tokens": 0, "completion_tokens": 0}
    spend(org, date(2026, 5, 20), "0", **refused)
    assert state(budget(org, unit=unit, limit=1000), AT).spent == Decimal(expected)


def test_leases_of_its_window_are_reserved_less_what_is_settled(org: Organization) -> None:
    mine, other = budget(org), budget(org)
    common = {"org": org, "holder": "a process"}
    open_until, past = AT + timedelta(seconds=60), AT - LINGER
    first = date(2026, 5, 1)
    lease = BudgetLease.objects.create(budget=mine, first_day=first, granted=3, expires_at=open_until, **common)
    BudgetLease.objects.create(budget=mine, first_day=first, granted=5, expires_at=past, **common)
    BudgetLease.objects.create(budget=mine, first_day=date(2026, 4, 1), granted=7, expires_at=open_until, **common)
    BudgetLease.objects.create(budget=other, first_day=first, granted=2, expires_at=open_until, **common)
    for number in (1, 2):
        SettledHold.objects.create(org=org, lease=lease, number=number, amount=Decimal("0.5"))
    found = states([mine, other], AT)
    assert [found[each.pk].reserved for each in (mine, other)] == [Decimal(2), Decimal(2)]
    assert found[mine.pk].remaining == Decimal(8)


def test_a_total_counts_from_its_first_day(org: Organization) -> None:
    spend(org, date(2025, 12, 31), "100")
    spend(org, date(2026, 1, 1), "2")
    spend(org, date(2026, 5, 19), "2.8")
    found = state(budget(org, window="total"), AT)
    assert (found.spent, found.resets_at, found.forecast) == (Decimal("4.8"), None, None)
    # 2.80 in 28 days are 0.10 a day; 5.20 are left.
    assert found.runs_out_on == date(2026, 5, 20) + timedelta(days=51)


def test_the_window_is_that_of_the_organisations_day() -> None:
    east = factories.organization(timezone="Asia/Vladivostok")
    spend(east, date(2026, 6, 1), "1")
    at = datetime(2026, 5, 31, 20, tzinfo=UTC)  # the first of June there
    found = state(budget(east), at)
    assert (found.window.first, found.spent) == (date(2026, 6, 1), Decimal(1))


def kinds_of_budgets(org: Organization, user_id: int) -> list[Budget]:
    """One budget of each kind of scope, unit and window."""
    scopes: list[dict[str, Any]] = [
        {},
        {"user_id": user_id},
        {"agent_id": "a"},
        {"request_type": "t"},
        {"ai_provider": "openai", "ai_model": "gpt-5-mini"},
        {"tag_key": "feature", "tag_value": "search"},
        {"user_id": user_id, "agent_id": "a", "ai_model": "gpt-5-mini"},
    ]
    return [
        budget(org, limit=Decimal(1000), window=window, unit=unit, **scope)
        for scope in scopes
        for window in Budget.Window.values
        for unit in Budget.Unit.values
    ]


def test_many_budgets_have_the_state_that_each_has_by_itself(org: Organization) -> None:
    person, other = factories.member(org), factories.organization(timezone="Asia/Vladivostok")
    days = [date(2026, 1, 1), date(2026, 3, 3), date(2026, 5, 1), date(2026, 5, 18), date(2026, 5, 20)]
    for number, day in enumerate(days):
        for each in (org, other):
            spend(each, day, str(number + 1), user_id=person.pk, agent_id="a", tags={"feature": "search"})
            spend(each, day, "0.5", request_type="t", ai_model="gpt-5-mini-2026-10-01")
            spend(each, day, None, ai_model="gpt-5-mini-audio", tags={"feature": "chat"})
    budgets = [*kinds_of_budgets(org, person.pk), *kinds_of_budgets(other, person.pk)]
    found = states(budgets, AT)
    assert len(found) == len(budgets) == 224
    for one in budgets:
        alone = spending(one, found[one.pk].window)
        assert (found[one.pk].spent, found[one.pk].unpriced) == (alone.spent, alone.unpriced), one.__dict__
        assert state(one, AT) == found[one.pk]
    assert len({found[each.pk].spent for each in budgets}) > 20


def test_a_forecast_is_the_same_alone_and_beside_others(org: Organization) -> None:
    """A month reads further back than the 28 days that a forecast learns of."""
    late = AT + timedelta(days=11)  # 31 May
    for day in (date(2026, 5, 1), date(2026, 5, 27), date(2026, 5, 30)):
        spend(org, day, "1")
    daily, monthly = budget(org, window="day"), budget(org, window="month")
    found = states([daily, monthly], late)
    assert found == {daily.pk: state(daily, late), monthly.pk: state(monthly, late)}
    assert found[daily.pk].forecast == Decimal("0.5")  # 2 in the four whole days since 27 May


def test_fifty_budgets_take_as_many_queries_as_there_are_kinds_of_scopes(org: Organization) -> None:
    people = [factories.member(org) for _ in range(48)]
    spend(org, date(2026, 5, 20), "1", user_id=people[0].pk)
    budgets = [budget(org, user_id=person.pk) for person in people]
    budgets += [budget(org), budget(org, agent_id="a")]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        found = states(Budget.objects.select_related("org"), AT)
    assert len(found) == 50
    assert found[budgets[0].pk].spent == Decimal(1)
    selects = [each["sql"] for each in queries if each["sql"].startswith("SELECT") and "set_config" not in each["sql"]]
    # The budgets, three kinds of scopes, and twice the leases.
    assert len(selects) == 6, selects
