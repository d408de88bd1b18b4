"""Totals by workflow and by piece of content."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support import factories
from tests.support.rows import NOON, enter, row
from usage_billing import reports
from usage_billing.reports import Period
from usage_billing.tenancy.scope import EVERYTHING, NOTHING, of_organization

pytestmark = pytest.mark.django_db
PERIOD = Period.of_days(7, NOON.date())


def test_dearest_come_first_and_calls_without_one_are_left_out() -> None:
    org = factories.organization("Acme")
    enter(
        row(org, cost_usd=Decimal(99)),
        row(org, content_id="a", cost_usd=Decimal(1)),
        row(org, content_id="b", cost_usd=Decimal(2)),
        row(org, content_id="a", cost_usd=Decimal(4)),
        row(factories.organization("Other"), content_id="z"),
    )

    def found(scope: object, **options: object) -> list[tuple[str, Decimal, int]]:
        rows = reports.workflow_totals(scope, "content_id", PERIOD, **options)  # type: ignore[arg-type]
        return [(each["content_id"], each["cost_usd"], each["requests_count"]) for each in rows]

    assert found(of_organization(org.pk)) == [("a", Decimal(5), 2), ("b", Decimal(2), 1)]
    assert found(EVERYTHING, limit=1) == [("a", Decimal(5), 2)]
    assert [each[0] for each in found(EVERYTHING)] == ["a", "b", "z"]
    assert found(NOTHING) == []
    assert reports.workflow_totals(EVERYTHING, "workflow_id", PERIOD) == []
