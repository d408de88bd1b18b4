"""The calls that the examples of the schema tell of, and the recorder of those examples.

Two organisations of the demo at one moment, with ids, so that the answers are the same on every database. The amounts
are right: tokens × price, at one exchange rate. To record the answers anew, after a change of what the API answers:

    DEBUG=1 RECORD_EXAMPLES=1 python -m pytest tests/usage_billing/api/test_examples.py
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.support import rows
from tests.support.api_world import BILLING
from usage_billing.api.budgets import OfBudgetsView
from usage_billing.api.examples import EXPORT
from usage_billing.api.service_tokens import OfServiceTokensView
from usage_billing.api.views import ReportView
from usage_billing.models import (
    AlertChannel,
    AlertDelivery,
    AlertFiring,
    AlertRoute,
    AlertRule,
    Budget,
    BudgetChange,
    BudgetLease,
    BudgetRequest,
    Membership,
    Organization,
    ProviderKey,
    ServiceToken,
    UsageRecord,
)

NOW = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)
RATE = Decimal("81.25")
"""RUB for one USD."""
PRICES = {
    "gpt-6-luna": ("openai", "/v1/chat/completions", "0.10", "0.01", "0.50"),
    "claude-opus-5-5": ("anthropic", "/v1/messages", "4", "0.20", "20"),
}
"""Provider, endpoint, and USD for a million input, cached and output tokens."""
SUPERADMIN, ANNA, MARK, KATE = 1, 11, 12, 15
ATLAS, LUMEN = 3, 5

QUERIES: dict[str, tuple[int, str, dict[str, Any]]] = {
    "usage_summary": (ANNA, "summary", {}),
    "usage_history": (ANNA, "history", {"days": 2}),
    "usage_by_agent": (ANNA, "by-agent", {"days": 7}),
    "usage_by_model": (ANNA, "by-model", {"days": 7, "limit": 2}),
    "usage_by_request_type": (ANNA, "by-request-type", {"days": 7}),
    "usage_by_user": (ANNA, "by-user", {"days": 7}),
    "usage_by_provider": (ANNA, "by-provider", {"days": 7}),
    "usage_by_status": (ANNA, "by-status", {"days": 7}),
    "usage_by_workflow": (ANNA, "by-workflow", {"days": 7}),
    "usage_by_content": (ANNA, "by-content", {"days": 7}),
    "usage_by_tag": (ANNA, "by-tag", {"days": 7, "key": "feature"}),
    "usage_by_org": (SUPERADMIN, "by-org", {"days": 7}),
    "usage_detailed": (ANNA, "detailed", {"days": 7, "limit": 2}),
    "usage_call": (ANNA, "detailed/48213", {}),
}
"""Who asks what in the example of each report."""
BUDGETS: dict[str, tuple[int, str]] = {
    "budgets_list": (ANNA, "budgets?limit=2"),
    "budgets_get": (ANNA, "budgets/7"),
    "budgets_history": (ANNA, "budgets/7/history"),
    "budget_requests_list": (ANNA, "budget-requests"),
    "budget_requests_get": (MARK, "budget-requests/4"),
    "alert_channels_list": (ANNA, "alerts/channels"),
    "alert_channels_get": (ANNA, "alerts/channels/2"),
    "alert_rules_list": (ANNA, "alerts/rules"),
    "alert_rules_get": (ANNA, "alerts/rules/3"),
    "alert_firings_list": (ANNA, "alerts/firings"),
    "alert_firings_get": (ANNA, "alerts/firings/5"),
    "service_tokens_list": (ANNA, "service-tokens"),
    "provider_keys_list": (ANNA, "provider-keys"),
}
"""Who asks what in the example of each operation about budgets, alerts and service tokens."""


def build() -> None:
    """Fill the database."""
    atlas = Organization.objects.create(
        pk=ATLAS, name="Atlas Content Studio", slug="atlas-studio", timezone="Europe/Berlin"
    )
    lumen = Organization.objects.create(
        pk=LUMEN, name="Lumen Learning", slug="lumen-learning", timezone="Europe/London"
    )
    for pk, name, org in (
        (SUPERADMIN, "admin", None),
        (ANNA, "anna", atlas),
        (MARK, "mark", atlas),
        (KATE, "kate", lumen),
    ):
        is_superadmin = org is None
        User.objects.create_user(
            name, password="demo-password", pk=pk, is_staff=is_superadmin, is_superuser=is_superadmin
        )
        if org is not None:
            role = Membership.Role.MEMBER if pk == MARK else Membership.Role.OWNER
            Membership.objects.create(org=org, user_id=pk, role=role)
    review = {
        "agent_id": "legal_guard",
        "request_type": "legal_check",
        "task_type": "check",
        "platform": "telegram",
        "content_type": "post",
        "content_id": "5f0c7a52-3d19-4b6e-9a37-0d2f1b8e6c41",
        "workflow_id": "publishing-2026-11-27",
        "tags": {"env": "prod", "feature": "review"},
    }
    chat = {"request_type": "chat", "tags": {"env": "prod", "feature": "chat"}}
    _call(48213, atlas, ANNA, "claude-opus-5-5", 46_500, 900, 39_600, minutes=12, **review)
    _call(48210, atlas, MARK, "gpt-6-luna", 3_200, 420, 1_200, minutes=47, **chat)
    _call(48207, atlas, None, "gpt-7-preview", 1_900, 310, 0, minutes=95, **chat)
    _call(48102, atlas, MARK, "gpt-6-luna", 2_800, 390, 0, minutes=26 * 60, **chat)
    _call(
        48096,
        atlas,
        MARK,
        "claude-opus-5-5",
        0,
        0,
        0,
        minutes=27 * 60,
        status="failed",
        error_code="529 overloaded_error",
        price_source="not-charged:failed",
        **review,
    )
    _call(47310, atlas, ANNA, "claude-opus-5-5", 38_000, 700, 30_000, minutes=9 * 24 * 60, **review)
    _call(47305, atlas, MARK, "gpt-6-luna", 2_500, 300, 0, minutes=9 * 24 * 60 + 30, **chat)
    _call(48195, lumen, KATE, "gpt-6-luna", 5_600, 800, 0, minutes=180, **chat)
    _set_budgets(atlas)
    _set_alerts(atlas)
    _make_tokens(atlas)


def _make_tokens(atlas: Organization) -> None:
    common = {"org": atlas, "by": "anna"}
    ServiceToken.objects.create(
        pk=6, name="gateway", prefix="aic_Yb7dQ2mW", digest="6" * 64, scopes=["ingest", "proxy"],
        allowed_models=["gpt-6-luna"], created_at=NOW - timedelta(days=20), last_used_at=NOW - timedelta(seconds=40),
        **common,
    )  # fmt: skip
    ServiceToken.objects.create(
        pk=4, name="reports", prefix="aic_Lp3xE9kT", digest="4" * 64, scopes=["read"],
        created_at=NOW - timedelta(days=40), expires_at=NOW - timedelta(days=10), **common,
    )  # fmt: skip
    ProviderKey.objects.create(
        provider="openai", secret="sk-proj-0123456789abcdefghij", hint="ghij", saved_at=NOW - timedelta(days=20),
        **common,
    )  # fmt: skip


def _set_alerts(atlas: Organization) -> None:
    channel = AlertChannel.objects.create(
        pk=2, org=atlas, name="Duty", kind="slack", target="https://hooks.example.com/T0/B0"
    )
    rule = AlertRule.objects.create(
        pk=3, org=atlas, name="Errors of the review", kind="errors", bound=5, step="hour",
        scope={"tag.feature": "review"}, renotify_hours=24,
    )  # fmt: skip
    AlertRoute.objects.create(org=atlas, rule=rule, channel=channel)
    began_at = NOW - timedelta(hours=27)
    firing = AlertFiring.objects.create(
        pk=5, org=atlas, rule=rule, key="", value=100, bound=5, began_at=began_at, told_at=began_at
    )
    AlertDelivery.objects.create(
        org=atlas, firing=firing, channel=channel, event="firing", state="sent", attempts=1, created_at=began_at,
        sent_at=began_at + timedelta(seconds=2),
    )  # fmt: skip


def _set_budgets(atlas: Organization) -> None:
    common = {"starts_on": NOW.date(), "created_at": NOW}
    november = Budget.objects.create(
        pk=7, org=atlas, name="November", limit=Decimal("0.25"), mode="stop", is_superadmins=False, **common
    )
    Budget.objects.create(
        pk=8, org=atlas, name="Mark", user_id=MARK, limit=Decimal(20_000), unit="tokens", window="week", **common
    )
    Budget.objects.create(
        pk=9, org=atlas, name="Reviews", tag_key="feature", tag_value="review", limit=Decimal(40), unit="rub",
        is_superadmins=True, **common,
    )  # fmt: skip
    BudgetLease.objects.create(
        org=atlas, budget=november, first_day=NOW.date().replace(day=1), granted=Decimal("0.012"), holder="worker",
        expires_at=NOW + timedelta(minutes=1),
    )  # fmt: skip
    for hours, fields in ((30, {"name": ["", "November"], "limit": ["", "0.1"]}), (2, {"limit": ["0.1", "0.25"]})):
        BudgetChange.objects.create(
            org=atlas,
            budget=november,
            budget_name="November",
            by="anna",
            at=NOW - timedelta(hours=hours),
            fields=fields,
        )
    BudgetRequest.objects.create(
        pk=4, org=atlas, budget=november, user_id=MARK, limit=Decimal("0.5"), reason="Two more campaigns.",
        created_at=NOW - timedelta(minutes=40),
    )  # fmt: skip


def _call(
    id_: int,
    org: Organization,
    user: int | None,
    model: str,
    prompt: int,
    completion: int,
    cached: int,
    *,
    minutes: int,
    **columns: Any,
) -> None:
    """Insert a call that was made so many minutes ago."""
    provider, endpoint, *prices = PRICES.get(model, ("openai", "/v1/chat/completions"))
    tokens = {"input": prompt - cached, "cached": cached, "output": completion}
    parts = {
        kind: Decimal(price) * tokens[kind] / 1_000_000
        for kind, price in zip(("input", "cached", "output"), prices, strict=False)
        if tokens[kind]
    }
    cost = sum(parts.values(), Decimal(0)) if prices else None
    made_at = NOW - timedelta(minutes=minutes)
    request_id = f"{'chatcmpl-' if provider == 'openai' else 'msg_'}01Xq{id_}"
    rows.enter(
        rows.row(
            org,
            **{
                "user_id": user,
                "agent_id": "",
                "request_id": request_id,
                "endpoint": endpoint,
                "ai_provider": provider,
                "ai_model": model,
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "cached_tokens": cached,
                "usage": _usage(provider, prompt, completion, cached),
                "cost_usd": cost,
                "cost_rub": None if cost is None else cost * RATE,
                "usd_rub_rate": RATE,
                "price_source": f"genai-prices 0.2.3:{provider}/{model}" if prices else "unpriced:unknown-model",
                "response_metadata": {"cost_parts": {kind: f"{part.normalize():f}" for kind, part in parts.items()}}
                if parts
                else {},
                "execution_time_ms": 400 + completion * 8,
                "created_at": made_at,
                "recorded_at": made_at + timedelta(seconds=3),
                "api_key_fingerprint": "c41f09d2a7b3e865",
                **columns,
            },
        )
    )
    UsageRecord.objects.filter(request_id=request_id).update(id=id_)


def _usage(provider: str, prompt: int, completion: int, cached: int) -> dict[str, Any]:
    """Return the provider's usage block, its keys in the order of PostgreSQL's jsonb: the shortest first."""
    if provider == "anthropic":
        return {"input_tokens": prompt - cached, "output_tokens": completion, "cache_read_input_tokens": cached}
    return {
        "total_tokens": prompt + completion,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Ask for everything that the examples show, at `NOW`."""
    monkeypatch.setattr(ReportView, "now", NOW)
    found = {}
    for operation, (user, path, query) in QUERIES.items():
        answer = _client(user).get(f"{BILLING}/{path}", query)
        assert answer.status_code == 200, answer.content
        found[operation] = answer.json()["data"]
    monkeypatch.setattr(OfBudgetsView, "now", NOW)
    monkeypatch.setattr(OfServiceTokensView, "now", NOW)
    for operation, (user, address) in BUDGETS.items():
        answer = _client(user).get(f"/api/billing/{address}")
        assert answer.status_code == 200, answer.content
        found[operation] = answer.json()["data"]
    return found | {EXPORT: dict(_files())}


def _files() -> Iterator[tuple[str, str]]:
    for kind in ("csv", "jsonl"):
        answer: Any = _client(ANNA).get(f"{BILLING}/export", {"format": kind, "days": 2})
        yield answer.headers["Content-Type"].split(";")[0], answer.getvalue().decode()


def _client(user: int) -> Client:
    client = Client(headers={"accept-language": "en"}, SERVER_NAME="costs.example.com")
    client.force_login(User.objects.get(pk=user))
    return client
