"""Rules over calls: spend against the same weekdays before, unpriced calls, failures, durations."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.support import factories
from tests.support.factories import NOON, chat_usage
from tests.usage_billing.alerts.conftest import CALL_USD, calls, rule
from usage_billing.alerts import readings_of
from usage_billing.alerts.readings import Reading
from usage_billing.models import AlertRule, Organization

Kind, Step = AlertRule.Kind, AlertRule.Step
WEEK = timedelta(weeks=1)


def crossing(found: AlertRule, at: Any = NOON) -> dict[str, Reading]:
    return {key: reading for key, reading in readings_of(found, at).by_key.items() if reading.crosses}


def eight_weeks(org: Organization, **fields: Any) -> None:
    for number in range(1, 9):
        calls(org, at=NOON - number * WEEK, **fields)


@pytest.mark.parametrize("step", [Step.DAY, Step.HOUR])
def test_spend_is_compared_with_the_same_weekdays_before(org: Organization, step: AlertRule.Step) -> None:
    eight_weeks(org)
    # Expensive other weekdays and hours are no reason to expect as much on a Wednesday at noon.
    for number in range(1, 9):
        calls(org, 20, at=NOON - number * WEEK + timedelta(days=1, hours=3))
    spend = rule(org, Kind.SPEND, step=step)
    calls(org, 2)
    assert crossing(spend) == {}
    calls(org, 1)
    assert crossing(spend)[""] == Reading(3 * CALL_USD, 2 * CALL_USD, crosses=True)


def test_one_expensive_week_does_not_move_what_is_usual(org: Organization) -> None:
    eight_weeks(org)
    calls(org, 50, at=NOON - 3 * WEEK)
    calls(org, 3)
    assert crossing(rule(org, Kind.SPEND))[""].bound == 2 * CALL_USD


def test_spend_below_the_rules_bound_is_not_told(org: Organization) -> None:
    eight_weeks(org)
    calls(org, 10)
    assert crossing(rule(org, Kind.SPEND, bound="0.01")) == {}


def test_without_history_no_spend_is_unusual(org: Organization) -> None:
    for number in (1, 2, 3):
        calls(org, at=NOON - number * WEEK)
    calls(org, 50)
    assert readings_of(rule(org, Kind.SPEND), NOON).by_key == {}


def test_the_step_before_is_looked_at_and_keeps_the_alert_going(org: Organization) -> None:
    eight_weeks(org)
    calls(org, 3)
    spend = rule(org, Kind.SPEND)
    assert [*crossing(spend, NOON + timedelta(days=1))] == [""]
    assert [*crossing(spend, NOON + timedelta(days=2))] == []


def test_spend_by_model_and_by_organisation(org: Organization) -> None:
    other = factories.organization("Другая")
    eight_weeks(org)
    eight_weeks(other, model="gpt-4.1")
    calls(org, 5)
    assert [*crossing(rule(org, Kind.SPEND, by="ai_model"))] == ["gpt-4.1-mini"]
    assert [*crossing(rule(None, Kind.SPEND, by="org_id", name="All"))] == [str(org.pk)]
    calls(other, 5, model="gpt-4.1")
    assert {*crossing(rule(None, Kind.SPEND, by="org_id", name="All again"))} == {str(org.pk), str(other.pk)}


def test_a_closed_organisation_tells_nothing(org: Organization) -> None:
    calls(org, 10, status="failed", error_code="500")
    errors = rule(None, Kind.ERRORS, by="org_id", bound=50)
    assert [*crossing(errors)] == [str(org.pk)]
    org.closed_at = timezone.now()
    org.save()
    assert crossing(errors) == {}


@pytest.mark.parametrize("step", [Step.DAY, Step.HOUR])
def test_share_of_failed_calls(org: Organization, step: AlertRule.Step) -> None:
    errors = rule(org, Kind.ERRORS, bound=25, step=step)
    calls(org, 3, status="failed", error_code="500")
    assert readings_of(errors, NOON).by_key == {}, "three calls are too few"
    calls(org, 7)
    assert crossing(errors)[""].value == 30
    calls(org, 5)
    assert crossing(errors) == {}


def test_refused_calls_are_no_calls(org: Organization) -> None:
    calls(org, 5, status="failed", error_code="500")
    calls(org, 50, status="refused", usage=chat_usage(0, 0))
    assert crossing(rule(org, Kind.ERRORS, bound=100))[""].value == 100


@pytest.mark.parametrize("step", [Step.DAY, Step.HOUR])
def test_share_of_unpriced_calls(org: Organization, step: AlertRule.Step) -> None:
    unpriced = rule(org, Kind.UNPRICED, bound=50, step=step)
    calls(org, 2)
    calls(org, 1, model="gpt-99")
    assert crossing(unpriced) == {}
    calls(org, 1, model="gpt-99")
    assert crossing(unpriced)[""].value == 50


@pytest.mark.parametrize("step", [Step.DAY, Step.HOUR])
def test_p95_time(org: Organization, step: AlertRule.Step) -> None:
    slow = rule(org, Kind.P95_TIME, bound=5000, step=step)
    calls(org, 10, duration_ms=1200)
    assert crossing(slow) == {}
    calls(org, 5, duration_ms=30_000)
    found = crossing(slow)[""].value
    assert found is not None
    assert found > 20_000


def test_the_scope_narrows_the_calls(org: Organization) -> None:
    calls(org, 5, status="failed", error_code="500", attribution={"agent_id": "a"})
    calls(org, 5, attribution={"agent_id": "b"})
    assert crossing(rule(org, Kind.ERRORS, bound=90, scope={"agent_id": "a"}))[""].value == 100
    assert crossing(rule(org, Kind.ERRORS, name="Two", bound=90, scope={"agent_id": ["a", "b"]})) == {}


def test_a_rule_sees_the_calls_of_its_organisation_alone(org: Organization) -> None:
    other = factories.organization()
    calls(other, 10, status="failed", error_code="500")
    assert readings_of(rule(org, Kind.ERRORS, bound=1, scope={"org_id": other.pk}), NOON).by_key == {}


@pytest.mark.parametrize("fields", [{"scope": {"1=1) OR (org_id": 1}}, {"by": "status; DROP"}])
def test_a_name_that_is_no_filter_never_comes_into_sql(org: Organization, fields: dict[str, Any]) -> None:
    calls(org, 5)
    with pytest.raises(ValueError, match="is no filter"):
        readings_of(rule(org, Kind.ERRORS, bound=1, **fields), NOON)
