"""Tokens by agent, type and model, and the same rows added up by fewer columns."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.support import factories
from tests.support.rows import NOON, enter, row
from usage_billing import reports
from usage_billing.reports import Period
from usage_billing.reports.token_totals import MEASURES, added_up
from usage_billing.tenancy.scope import EVERYTHING, of_organization

pytestmark = pytest.mark.django_db
PERIOD = Period.of_days(7, NOON.date())


def test_rows_add_up_to_the_totals(django_assert_num_queries: Any) -> None:
    org, other = factories.organization("Acme"), factories.organization("Other")
    unknown = {"cost_usd": None, "cost_rub": None, "price_source": "unpriced:unknown-model"}
    enter(
        row(org, agent_id="a", cached_tokens=50),
        row(org, agent_id="b", ai_model="gpt-5"),
        row(org, agent_id="b", ai_model="gpt-99", **unknown),
        row(other, agent_id="c", cost_usd=Decimal(7)),
    )
    with django_assert_num_queries(1):
        rows = reports.token_totals(EVERYTHING, PERIOD)
    assert len(rows) == 4
    assert added_up(rows, ()) == reports.totals(EVERYTHING, period=PERIOD, measures=MEASURES)
    by_model = reports.totals(EVERYTHING, by=("ai_model",), period=PERIOD, measures=MEASURES)
    assert added_up(rows, ("ai_model",)) == by_model
    assert by_model[-1]["cost_usd"] is None
    assert [each["agent_id"] for each in reports.token_totals(of_organization(org.pk), PERIOD)] == ["a", "b", "b"]


def test_nothing_adds_up_to_no_row() -> None:
    assert added_up(reports.token_totals(EVERYTHING, PERIOD), ()) == []
