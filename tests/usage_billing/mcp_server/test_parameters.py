"""What the tools may be asked is what the API understands."""

from __future__ import annotations

from datetime import date
from typing import get_args

import pytest

from usage_billing.api.filters import NARROWING, OF_SINGLE_CALLS
from usage_billing.api.urls import REPORTS
from usage_billing.mcp_server.parameters import CallFilters, Dimension, Filters, Period, Status, Step, query
from usage_billing.models import UsageRecord
from usage_billing.reports import ALL_STEPS

pytestmark = pytest.mark.unit


def test_words_are_those_of_the_api() -> None:
    assert {f"by-{name}" for name in get_args(Dimension)} == {name for name in REPORTS if name.startswith("by-")}
    assert set(get_args(Step)) == set(ALL_STEPS)
    assert set(get_args(Status)) == set(UsageRecord.Status.values)
    assert set(Filters.model_fields) - {"tags"} <= set(NARROWING)
    assert set(CallFilters.model_fields) == set(OF_SINGLE_CALLS)


def test_query_of_filters_and_period() -> None:
    assert query(
        Filters(agent_id=["a", ""], tags={"feature": ["search"]}),
        Filters(org=["north"], tags={"env": ["dev"]}),
        Period(from_date=date(2026, 11, 1), to_date=date(2026, 11, 30)),
        limit=5,
        is_active=True,
        cursor=None,
    ) == {
        "agent_id": ["a", ""],
        "tag.feature": ["search"],
        "org!": ["north"],
        "tag.env!": ["dev"],
        "from": "2026-11-01",
        "to": "2026-11-30",
        "limit": "5",
        "is_active": "true",
    }
