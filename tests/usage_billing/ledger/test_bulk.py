"""Bulk inserts keep every value exactly and refuse values that do not fit."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import DataError, connection, transaction

from tests.support import factories
from usage_billing.ledger import bulk, writer
from usage_billing.models import UsageRecord

pytestmark = pytest.mark.django_db

ODD = "“\"\\\n\t',{}[]null\U0001f600"


def a_call(**values: Any) -> dict[str, Any]:
    """Return a complete row of `token_usage`."""
    at = datetime(2026, 11, 18, 23, 59, 59, 999_999, tzinfo=UTC)
    text = ("agent_id", "request_type", "endpoint", "ai_provider", "ai_model", "platform", "content_type", "task_type")
    return {
        "user_id": None,
        "content_id": None,
        "workflow_id": None,
        **dict.fromkeys((*text, "error_code", "price_source"), ODD),
        "request_id": "one",
        **dict.fromkeys(("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens"), 2**40),
        "total_tokens": 2**41,
        "reasoning_tokens": 0,
        "usage": {ODD: [1, None, {"nested": ODD}]},
        "cost_usd": Decimal("0.000000000001"),
        "cost_rub": Decimal(0),
        "usd_rub_rate": None,
        "execution_time_ms": 5,
        "status": "succeeded",
        **dict.fromkeys(("provider_organization", "provider_project", "provider_user_profile"), ODD),
        "api_key_fingerprint": "0123456789abcdef",
        "known_cost_usd": None,
        "request_metadata": {},
        "tags": {"имя": ODD},
        "response_metadata": {"text": ODD},
        "created_at": at,
        "recorded_at": at,
        "usage_date": date(2026, 11, 19),
    } | values


def inserted(*calls: dict[str, Any]) -> list[Any]:
    rows = [[call[name] for name in writer.COLUMNS] for call in calls]
    return bulk.insert(UsageRecord, writer.COLUMNS, rows, writer._ONCE)


def test_each_value_comes_back_as_it_went_in() -> None:
    call = a_call(org_id=factories.organization().pk)
    assert inserted(call) == [(call["org_id"], "one")]
    assert UsageRecord.objects.values(*writer.COLUMNS).get() == call


def test_only_rows_that_were_inserted_are_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "ROWS_A_STATEMENT", 2)  # so that it takes several
    org = factories.organization().pk
    inserted(*(a_call(org_id=org, request_id=f"call {n}") for n in (1, 4)))
    new = inserted(*(a_call(org_id=org, request_id=f"call {n}") for n in range(6)))
    assert sorted(new) == [(org, f"call {n}") for n in (0, 2, 3, 5)]


def test_an_insert_without_returning_gives_nothing() -> None:
    call = a_call(org_id=factories.organization().pk)
    assert bulk.insert(UsageRecord, writer.COLUMNS, [[call[name] for name in writer.COLUMNS]], "") == []
    assert bulk.insert(UsageRecord, writer.COLUMNS, [], writer._ONCE) == []


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's words may have any length")
def test_a_word_that_is_too_long_is_refused_and_not_cut() -> None:
    with pytest.raises(DataError), transaction.atomic():
        inserted(a_call(org_id=factories.organization().pk, agent_id="a" * 101))
    assert not UsageRecord.objects.exists()
