"""The digest's numbers: those of `reports`, of one organisation, of the right days."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from ai_clients.assistants.digest.figures import REQUEST_TYPE, Totals, weekly_digest_data
from ai_clients.assistants.digest.week import Week
from tests.support import factories
from tests.support.factories import event
from usage_billing.ledger import writer
from usage_billing.models import Organization

pytestmark = pytest.mark.django_db

WEEK = Week(factories.TODAY - timedelta(days=2))
CALL = Decimal("0.00056")


def test_both_weeks_are_added_up(org: Organization) -> None:
    digest = weekly_digest_data(org, WEEK)
    assert digest.now == Totals(
        requests_count=3,
        total_tokens=3300,
        cost_usd=2 * CALL,
        cost_rub=2 * CALL * 80,
        unpriced_usd_count=1,
        unpriced_rub_count=1,
    )
    assert (digest.before.requests_count, digest.before.cost_usd) == (1, CALL)


def test_days_are_monday_to_sunday_without_gaps(org: Organization) -> None:
    digest = weekly_digest_data(org, WEEK)
    assert [day.requests_count for day in digest.by_day] == [0, 0, 2, 0, 0, 1, 0]
    assert [day.requests_count for day in digest.by_day_before] == [0, 0, 1, 0, 0, 0, 0]


def test_kinds_come_with_both_weeks_the_dearest_first(org: Organization) -> None:
    digest = weekly_digest_data(org, WEEK)
    assert [(line.name, line.now.requests_count, line.before.requests_count) for line in digest.by_request_type] == [
        ("trend_report", 2, 0),
        ("legal_check", 1, 1),
    ]
    assert [line.name for line in digest.by_agent] == ["", "legal_guard"]
    assert [line.name for line in digest.by_model] == ["gpt-4.1-mini", "gpt-99"]
    assert [(line.name, line.now.requests_count) for line in digest.by_user] == [("", 2), ("anna", 1)]


def test_an_amount_of_which_nothing_is_known_is_none_not_zero(org: Organization) -> None:
    (unknown,) = [line.now for line in weekly_digest_data(org, WEEK).by_model if line.name == "gpt-99"]
    assert (unknown.cost_usd, unknown.cost_rub, unknown.unpriced_usd_count) == (None, None, 1)


def test_another_organisations_calls_are_not_in_it(org: Organization) -> None:
    before = weekly_digest_data(org, WEEK)
    writer.add([event(org=factories.organization(), attribution={"request_type": "secret"})])
    assert weekly_digest_data(org, WEEK) == before


def test_a_person_who_is_gone_is_a_number(org: Organization) -> None:
    writer.add([event(org=org, user=4711)])
    assert "#4711" in [line.name for line in weekly_digest_data(org, WEEK).by_user]


@pytest.mark.parametrize(("request_type", "is_quiet"), [(REQUEST_TYPE, True), ("legal_check", False), ("", False)])
def test_a_week_with_nothing_but_digests_is_quiet(request_type: str, is_quiet: bool) -> None:
    """Each digest is a call itself, which would be a reason for the next one, for ever."""
    org = factories.organization()
    assert weekly_digest_data(org, WEEK).is_quiet
    writer.add([event(org=org, at=factories.NOON - timedelta(days=7), attribution={"request_type": request_type})])
    assert weekly_digest_data(org, WEEK).is_quiet is is_quiet
