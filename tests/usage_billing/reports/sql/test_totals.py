"""Each question about totals, by each way to the answer, is what adding up the calls in Python gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.api_world import World
from tests.support.rows import NOON
from usage_billing import reports
from usage_billing.ledger import tag_values
from usage_billing.models import UsageRecord, tag_value
from usage_billing.models.daily_tag_usage import OTHER_VALUE
from usage_billing.models.daily_usage import MEASURES
from usage_billing.reports import FILTERS, Period
from usage_billing.reports.breakdown import COMPARED
from usage_billing.reports.parameters import Excluded
from usage_billing.tenancy.scope import EVERYTHING, Scope, scope_of

pytestmark = pytest.mark.django_db
TODAY = NOON.date()
PEOPLE = ("superadmin", "owner", "owner_of_two", "member", "member_and_owner", "left")
VALUES: dict[str, list[Any]] = {
    "agent_id": ["", "common-agent", "red-agent", "nobody"],
    "request_type": ["", "common-type", "green-type"],
    "ai_provider": ["openai", "blue-provider"],
    "ai_model": ["common-model", "red-model"],
    "status": ["succeeded", "failed", "pending", "refused"],
    "workflow_id": ["common-workflow", "red-workflow", "nobody"],
    "content_id": ["common-content", "green-content"],
}
TAGS: dict[str, list[Any]] = {"tag.feature": ["", "search", "red-feature", "nobody"], "tag.env": ["", "prod"]}
OF_CALLS: dict[str, list[Any]] = {"unpriced": ["usd", "rub"], "price_source": ["test", "nobody"], "error_code": [""]}


def values_of(values: list[Any]) -> st.SearchStrategy[Any]:
    """One value, any of several, or any but several."""
    several = st.frozensets(st.sampled_from(values), min_size=1)
    return st.sampled_from(values) | several.map(set) | several.map(Excluded)


by_columns = st.lists(st.sampled_from([*FILTERS, "usage_date", *TAGS]), unique=True, max_size=3)
filters = st.fixed_dictionaries({}, optional={name: values_of(values) for name, values in VALUES.items()})
any_filters = st.fixed_dictionaries(
    {}, optional={name: values_of(values) for name, values in {**VALUES, **TAGS, **OF_CALLS}.items()}
)
periods = st.builds(
    lambda since, length: Period(since, length and since and since + timedelta(days=length)),
    st.none() | st.dates(TODAY - timedelta(days=90), TODAY),
    st.none() | st.integers(1, 60),
)
FEWER = settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))


def unique(names: list[str]) -> bool:
    return len({*names}) == len(names)


@pytest.fixture
def world() -> World:
    return World(NOON)


def added_up(calls: list[UsageRecord]) -> dict[str, Any]:
    """The measures by hand."""
    sums: dict[str, Any] = {
        "requests_count": len(calls),
        "failed_count": sum(call.status == "failed" for call in calls),
        "refused_count": sum(call.status == "refused" for call in calls),
        "unpriced_usd_count": sum(call.cost_usd is None for call in calls),
        "unpriced_rub_count": sum(call.cost_rub is None for call in calls),
    }
    for name in set(MEASURES) - {*sums, "cost_usd", "cost_rub"}:
        sums[name] = sum(getattr(call, name) for call in calls)
    for name in ("cost_usd", "cost_rub"):
        known = [cost for call in calls if (cost := getattr(call, name)) is not None]
        sums[name] = sum(known, Decimal(0)) if known or not calls else None
    return sums


def in_period(call: UsageRecord, period: Period) -> bool:
    return (period.since is None or call.usage_date >= period.since) and (
        period.until is None or call.usage_date < period.until
    )


def value_of(call: UsageRecord, name: str) -> Any:
    if name.startswith("tag."):
        return call.tags.get(name.removeprefix("tag."), "")
    return 0 if name == "user_id" and call.user_id is None else getattr(call, name)


def matches(call: UsageRecord, name: str, value: Any) -> bool:
    if isinstance(value, Excluded):
        return not matches(call, name, set(value.values))
    values = value if isinstance(value, set) else {value}
    if name == "unpriced":
        return any(getattr(call, f"cost_{currency}") is None for currency in values)
    return value_of(call, name) in values


def expected(calls: list[UsageRecord], by: list[str], asked: dict[str, Any], period: Period) -> dict[Any, Any]:
    matching = [
        call
        for call in calls
        if in_period(call, period) and all(matches(call, name, value) for name, value in asked.items())
    ]
    if not by:
        return {(): added_up(matching)}
    groups: dict[Any, list[UsageRecord]] = defaultdict(list)
    for call in matching:
        groups[tuple(value_of(call, name) for name in by)].append(call)
    return {key: added_up(group) for key, group in groups.items()}


def by_key(rows: list[dict[str, Any]], by: list[str]) -> dict[Any, Any]:
    found = {tuple(row[name] for name in by): {name: row[name] for name in MEASURES} for row in rows}
    assert len(found) == len(rows)
    return found


@MANY
@given(st.sampled_from(PEOPLE), by_columns, any_filters, periods)
@example("superadmin", [], {}, Period())
@example("superadmin", ["tag.feature"], {}, Period())
@example("owner", ["tag.feature", "ai_model"], {"tag.feature": Excluded(frozenset({"search"}))}, Period())
@example("member", ["agent_id"], {"tag.feature": {"", "search"}}, Period())
@example("superadmin", ["tag.feature"], {"user_id": Excluded(frozenset({0}))}, Period())
@example("superadmin", ["tag.feature", "tag.env"], {"org_id": Excluded(frozenset({1}))}, Period())
@example("owner_of_two", [], {"workflow_id": Excluded(frozenset({"common-workflow"}))}, Period())
@example("owner_of_two", [], {"workflow_id": {None, "common-workflow"}}, Period())
@example("member", ["user_id"], {"workflow_id": "red-workflow"}, Period())
@example("superadmin", ["user_id", "workflow_id"], {}, Period())
def test_totals_are_the_sum_of_the_calls(
    world: World, person: str, by: list[str], asked: dict[str, Any], period: Period
) -> None:
    rows = reports.totals(scope_of(world.people[person]), by=by, filters=asked, period=period)
    assert by_key(rows, by) == expected(world.calls_of(person), by, asked, period)


@MANY
@given(st.sampled_from(PEOPLE), by_columns.filter(lambda by: "workflow_id" not in by), filters, periods)
def test_the_days_totals_and_the_calls_give_the_same_answer(
    world: World, person: str, by: list[str], asked: dict[str, Any], period: Period
) -> None:
    scope = scope_of(world.people[person])
    asked.pop("workflow_id", None)
    of_days = reports.totals(scope, by=by, filters=asked, period=period)
    # Every workflow that there is, and none: only the calls know them.
    named = {*VALUES["workflow_id"], "green-workflow", "blue-workflow"}
    with_workflow = reports.totals(scope, by=by, filters={**asked, "workflow_id": named}, period=period)
    without = expected([call for call in world.calls_of(person) if call.workflow_id is None], by, asked, period)
    of_calls = by_key(with_workflow, by)
    for name in ("requests_count", "total_tokens", "failed_count", "unpriced_usd_count"):
        assert sum(row[name] for row in of_days) == sum(
            row[name] for half in (of_calls, without) for row in half.values()
        )


@MANY
@given(st.sampled_from(PEOPLE), filters)
def test_the_summary_is_three_totals(world: World, person: str, asked: dict[str, Any]) -> None:
    scope, calls = scope_of(world.people[person]), world.calls_of(person)
    summary = reports.summary(scope, TODAY, asked)
    for name, since in {"today": TODAY, "this_month": TODAY.replace(day=1), "all_time": None}.items():
        assert summary[name] == expected(calls, [], asked, Period(since))[()]


@MANY
@given(st.sampled_from(PEOPLE), filters, periods)
def test_two_periods_side_by_side_are_what_they_are_one_by_one(
    world: World, person: str, asked: dict[str, Any], period: Period
) -> None:
    scope, previous = scope_of(world.people[person]), period.before(TODAY)
    found = reports.breakdown(scope, ["agent_id"], period, TODAY, filters=asked)
    total, before = reports.totals(scope, filters=asked, period=period)[0], found.before
    assert {name: found.total[name] for name in total} == total
    assert (before is None) == (previous is None)
    if previous is not None and before is not None:
        earlier = reports.totals(scope, filters=asked, period=previous)[0]
        assert {*COMPARED} <= {*before}
        assert before == {name: earlier[name] for name in before}


@FEWER
@given(st.sampled_from(PEOPLE), any_filters, periods)
def test_lists_have_the_calls_that_totals_count(
    world: World, person: str, asked: dict[str, Any], period: Period
) -> None:
    scope = scope_of(world.people[person])
    listed = {call.pk for call in reports.calls(scope, filters=asked, period=period)}
    mine = world.calls_of(person)
    assert listed == {
        call.pk
        for call in mine
        if in_period(call, period) and all(matches(call, name, value) for name, value in asked.items())
    }
    for ordering in ("-created_at", "created_at", "-total_tokens", "execution_time_ms"):
        found = reports.calls_with_totals(scope, filters=asked, period=period, ordering=ordering, limit=7)
        whole = [call.pk for call in reports.calls(scope, filters=asked, period=period, ordering=ordering)]
        assert [call.pk for call in found.page.calls] == whole[:7]
        assert found.totals["requests_count"] == len(whole)
        if found.page.next is not None:
            after = reports.calls_with_totals(
                scope, filters=asked, period=period, ordering=ordering, limit=7, after=found.page.next
            )
            assert [call.pk for call in after.page.calls] == whole[7:14]


@pytest.fixture
def bounded_world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Each organisation's rollups keep one value of each tag apart."""
    for module in (tag_value, tag_values):
        monkeypatch.setattr(module, "VALUES_PER_KEY", 1)
    return World(NOON)


@FEWER
@given(st.sampled_from(PEOPLE), by_columns.map(lambda by: ["tag.feature", *by[:1]]).filter(unique), filters, periods)
def test_values_beyond_the_bound_are_one_row_and_filters_still_find_them(
    bounded_world: World, person: str, by: list[str], asked: dict[str, Any], period: Period
) -> None:
    scope, calls = scope_of(bounded_world.people[person]), bounded_world.calls_of(person)
    rows = reports.totals(scope, by=by, filters=asked, period=period)
    (whole,) = expected(calls, [], asked, period).values()
    for name in ("requests_count", "total_tokens", "unpriced_usd_count"):
        assert sum(row[name] for row in rows) == whole[name]
    for value in ("search", "red-feature", "", Excluded(frozenset({"green-feature"}))):
        (row,) = reports.totals(scope, filters={**asked, "tag.feature": value}, period=period)
        (wanted,) = expected(calls, [], {**asked, "tag.feature": value}, period).values()
        assert {name: row[name] for name in MEASURES} == wanted


def test_values_beyond_the_bound_have_a_name_that_no_call_has(bounded_world: World) -> None:
    rows = reports.totals(EVERYTHING, by=["tag.feature"])
    names = {call.tags.get("feature", "") for call in bounded_world.calls_of("superadmin")}
    assert {row["tag.feature"] for row in rows} - names == {OTHER_VALUE}


def test_totals_come_dearest_first_and_as_many_as_asked_for(world: World) -> None:
    rows = reports.totals(EVERYTHING, by=["agent_id"])
    costs = [(row["cost_usd"] or 0, row["requests_count"]) for row in rows]
    assert costs == sorted(costs, reverse=True)
    assert reports.totals(EVERYTHING, by=["agent_id"], limit=2) == rows[:2]


def test_an_amount_of_which_nothing_is_known_is_none() -> None:
    world = World(NOON)
    unknown = UsageRecord.objects.filter(cost_usd=None).values_list("org", "agent_id", "usage_date").first()
    assert unknown is not None
    UsageRecord.objects.exclude(pk__in=UsageRecord.objects.filter(cost_usd=None)).delete()
    (row,) = reports.totals(scope_of(world.people["superadmin"]), filters={"workflow_id": "red-workflow"})
    assert row["requests_count"] > 0
    assert (row["cost_usd"], row["cost_rub"]) == (None, None)


def test_nobodys_calls_are_found_by_user_zero(world: World) -> None:
    nobodys = [call for call in world.calls_of("superadmin") if call.user_id is None]
    for asked in ({"user_id": 0}, {"user_id": {0}}, {"user_id": 0, "content_id": {"common-content", "red-content"}}):
        (row,) = reports.totals(EVERYTHING, filters=asked)
        contents = asked.get("content_id")
        matching = [call for call in nobodys if contents is None or call.content_id in contents]  # type: ignore[operator]
        assert row["requests_count"] == len(matching) > 0


# ── History ──────────────────────────────────────────────────────────────────────────────────────────────────────


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


FIRST_DAY: dict[str, Callable[[date], date]] = {
    "day": lambda day: day,
    "week": monday,
    "month": lambda day: day.replace(day=1),
}


@MANY
@given(st.sampled_from(PEOPLE), st.sampled_from(sorted(FIRST_DAY)), filters, periods)
def test_history_has_every_step_once_and_what_lies_in_it(
    world: World, person: str, step: str, asked: dict[str, Any], period: Period
) -> None:
    calls = [
        call
        for call in world.calls_of(person)
        if in_period(call, period) and all(matches(call, name, value) for name, value in asked.items())
    ]
    rows = reports.time_series(scope_of(world.people[person]), period, TODAY, step=step, filters=asked)
    known = [call.usage_date for call in calls]
    first = period.since or min([*known, TODAY])
    last = max([*known, period.last_day(TODAY)])
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    starts = sorted({FIRST_DAY[step](day) for day in days})
    assert [row["date"] for row in rows] == starts
    for row in rows:
        of_it = [call for call in calls if FIRST_DAY[step](call.usage_date) == row["date"]]
        assert {name: row[name] for name in MEASURES} == added_up(of_it)


def test_history_of_a_future_period_is_empty() -> None:
    assert reports.time_series(EVERYTHING, Period(TODAY + timedelta(days=2)), TODAY) == []


def test_an_organisation_a_day_ahead_has_its_day(world: World) -> None:
    rows = reports.time_series(EVERYTHING, Period(TODAY - timedelta(days=1)), TODAY - timedelta(days=1))
    assert [row["date"] for row in rows] == [TODAY - timedelta(days=1), TODAY]


# ── Breakdown ────────────────────────────────────────────────────────────────────────────────────────────────────


@MANY
@given(
    st.sampled_from(PEOPLE),
    st.sampled_from([["agent_id"], ["ai_provider", "ai_model"], ["request_type"], ["user_id"], ["org_id"]]),
    filters,
    periods,
    st.sampled_from([1, 2, 200]),
)
def test_a_breakdown_is_what_the_calls_say(
    world: World, person: str, by: list[str], asked: dict[str, Any], period: Period, limit: int
) -> None:
    calls, previous = world.calls_of(person), period.before(TODAY)
    found = reports.breakdown(scope_of(world.people[person]), by, period, TODAY, filters=asked, limit=limit)
    now = expected(calls, by, asked, period)
    before = {} if previous is None else expected(calls, by, asked, previous)
    total = expected(calls, [], asked, period)[()]
    listed = by_key(found.items, by)
    assert listed == {key: now[key] for key in listed}
    assert len(listed) == min(limit, len(now))
    rest = calls_of_other_keys(calls, by, asked, period, set(listed))
    assert same(found.other, added_up(rest) if rest else None)
    assert {name: found.total[name] for name in MEASURES} == total
    for item in found.items:
        key = tuple(item[name] for name in by)
        assert_ratios(item, now[key], total, None if previous is None else before.get(key, added_up([])))


def calls_of_other_keys(
    calls: list[UsageRecord], by: list[str], asked: dict[str, Any], period: Period, listed: set[Any]
) -> list[UsageRecord]:
    return [
        call
        for call in calls
        if expected([call], by, asked, period) and not set(expected([call], by, asked, period)) & listed
    ]


def same(found: dict[str, Any] | None, wanted: dict[str, Any] | None) -> bool:
    """Equal; what SQLite's floats leave of a difference apart."""
    if found is None or wanted is None:
        return found is wanted
    return all(
        found[name] == wanted[name]
        or (connection.vendor == "sqlite" and abs(found[name] - wanted[name]) < Decimal("1e-9"))
        for name in MEASURES
    )


def divided(part: Any, whole: Any) -> Decimal | None:
    return None if part is None or not whole else Decimal(part) / Decimal(whole)


def assert_ratios(item: dict[str, Any], now: dict[str, Any], total: dict[str, Any], before: Any) -> None:
    assert item["share"] == divided(now["cost_usd"], total["cost_usd"])
    sent = now["requests_count"] - now["refused_count"]
    assert item["average_cost_usd"] == divided(now["cost_usd"], sent - now["unpriced_usd_count"])
    assert item["average_cost_rub"] == divided(now["cost_rub"], sent - now["unpriced_rub_count"])
    assert item["average_time_ms"] == divided(now["execution_time_ms"], sent)
    compared = ("requests_count", "total_tokens", "cost_usd", "cost_rub")
    if before is None:
        assert (item["before"], item["change"]) == (None, None)
        return
    assert item["before"] == {name: before[name] for name in compared}
    assert item["change"] == {
        name: None
        if now[name] is None or before[name] is None
        else Decimal(0)
        if now[name] == before[name]
        else divided(now[name] - before[name], before[name])
        for name in compared
    }


def test_of_nothing_there_is_no_ratio() -> None:
    found = reports.breakdown(Scope(), ["agent_id"], Period(TODAY), TODAY)
    assert (found.items, found.other) == ([], None)
    assert {found.total[name] for name in ("share", "average_cost_usd", "average_time_ms")} == {None}
    assert set(found.total["change"].values()) == {Decimal(0)}
