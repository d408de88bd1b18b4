"""Failed and unpriced calls by reason: in scope, and only the newest."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from importlib import import_module

import pytest
from pytest_django import DjangoAssertNumQueries

from tests.support import factories
from tests.support.rows import NOON, enter, row
from usage_billing import reports
from usage_billing.models import Organization
from usage_billing.reports import Period
from usage_billing.tenancy.scope import EVERYTHING, of_organization

pytestmark = pytest.mark.django_db
PERIOD = Period.of_days(7, NOON.date())
UNKNOWN = {"cost_usd": None, "cost_rub": None, "price_source": "unpriced:unknown-model"}
FAILED = {"cost_usd": Decimal(0), "cost_rub": Decimal(0), "status": "failed"}


@pytest.fixture
def org() -> Organization:
    return factories.organization("Acme")


def test_reasons_are_counted_the_most_frequent_first(
    org: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    enter(
        row(org),
        row(org, error_code="429", **FAILED),
        *(row(org, **UNKNOWN) for _ in range(2)),
        row(org, created_at=NOON - timedelta(days=8), **UNKNOWN),
        row(factories.organization("Other"), error_code="500", **FAILED),
    )
    with django_assert_num_queries(1):
        found = reports.failures(of_organization(org.pk), PERIOD)
    assert [(each.count, each.status, each.reason, each.error_code) for each in found.groups] == [
        (2, "succeeded", "unknown-model", ""),
        (1, "failed", "", "429"),
    ]
    assert found.is_cut is False
    assert len(reports.failures(EVERYTHING, PERIOD).groups) == 3
    assert len(reports.failures(EVERYTHING, PERIOD, filters={"status": "failed"}).groups) == 2
    with django_assert_num_queries(1):
        assert reports.all_failures(of_organization(org.pk), PERIOD) == found


def test_only_the_newest_are_grouped(org: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("usage_billing.reports.failures"), "NEWEST", 2)
    enter(
        *(row(org, error_code="old", created_at=NOON - timedelta(hours=n), **FAILED) for n in range(2, 9)),
        *(row(org, error_code="new", created_at=NOON - timedelta(minutes=n), **FAILED) for n in range(2)),
    )
    found, counted = reports.failures(EVERYTHING, PERIOD), reports.all_failures(EVERYTHING, PERIOD)
    assert ([(each.error_code, each.count) for each in found.groups], found.is_cut) == ([("new", 2)], True)
    assert ([(each.error_code, each.count) for each in counted.groups], counted.is_cut) == (
        [("old", 7), ("new", 2)],
        False,
    )


def test_filters_are_applied_to_the_newest_of_the_scope(org: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an index for them, the search for a thousand calls of one agent would read all failed calls."""
    monkeypatch.setattr(import_module("usage_billing.reports.failures"), "NEWEST", 3)
    enter(
        *(row(org, agent_id="noisy", created_at=NOON - timedelta(minutes=n), **FAILED) for n in range(2)),
        row(org, agent_id="quiet", created_at=NOON - timedelta(minutes=3), error_code="429", **FAILED),
        row(org, agent_id="quiet", created_at=NOON - timedelta(hours=1), error_code="500", **FAILED),
    )
    found = reports.failures(EVERYTHING, PERIOD, filters={"agent_id": "quiet"})
    assert ([(each.error_code, each.count) for each in found.groups], found.is_cut) == ([("429", 1)], True)
    newest_of_org = reports.failures(EVERYTHING, PERIOD, filters={"agent_id": "quiet", "org_id": org.pk + 1})
    assert (newest_of_org.groups, newest_of_org.is_cut) == ([], False)
