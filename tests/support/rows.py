"""Complete rows of `token_usage` with defaults."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from usage_billing.ledger import writer
from usage_billing.models import Organization

NOON = datetime(2026, 5, 20, 12, tzinfo=UTC)
_numbers = count(1)


def row(org: Organization, **columns: Any) -> dict[str, Any]:
    """Return a call at `NOON` of 100 + 20 tokens for 0.50 USD and 40 RUB, on the organisation's billing day."""
    created_at = columns.get("created_at", NOON)
    tokens = {"prompt_tokens": 100, "completion_tokens": 20} | columns
    return {
        "org_id": org.pk,
        "user_id": None,
        "content_id": None,
        "workflow_id": None,
        "agent_id": "legal_guard",
        "request_type": "custom_analysis",
        # As text in the order of the numbers: the writer sorts by it, so ids do not depend on the tests before.
        "request_id": f"request-{next(_numbers):09}",
        "endpoint": "/v1/chat/completions",
        "ai_provider": "openai",
        "ai_model": "gpt-5-mini",
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": tokens["prompt_tokens"] + tokens["completion_tokens"],
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "usage": {},
        "cost_usd": Decimal("0.50"),
        "cost_rub": Decimal("40"),
        "usd_rub_rate": Decimal("80"),
        "price_source": "test",
        "platform": "",
        "content_type": "",
        "task_type": "",
        "execution_time_ms": 5,
        "status": "succeeded",
        "error_code": "",
        "request_metadata": {},
        "response_metadata": {},
        "created_at": created_at,
        "recorded_at": created_at,
        "usage_date": created_at.astimezone(org.zone).date(),
        "provider_organization": "",
        "provider_project": "",
        "api_key_fingerprint": "",
        "provider_user_profile": "",
        "known_cost_usd": None,
        "tags": {},
    } | columns


def enter(*rows: dict[str, Any]) -> None:
    assert writer.insert(rows) == len(rows)
