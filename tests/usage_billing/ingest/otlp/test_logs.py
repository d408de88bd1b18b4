"""Coding agents tell their calls on the logs signal."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from tests.support import factories, otlp
from usage_billing.ingest.otlp import logs, wire
from usage_billing.ingest.reported import ReportedCall
from usage_billing.models import UsageRecord

REQUEST: dict[str, Any] = {
    "session__id": "0d1b2c3d-0000-4000-8000-000000000001",
    "organization__id": "org-1",
    "user__email": "ann@example.org",
    "model": "claude-sonnet-4-5",
    "input_tokens": "12",
    "output_tokens": 300,
    "cache_read_tokens": 5000,
    "cache_creation_tokens": 0,
    "cost_usd": 0.0061,
    "duration_ms": "2500",
    "request_id": "req_011CWuPpQoV1cakzjTVwKZsV",
}
CODEX: dict[str, Any] = {
    "conversation__id": "0199aaaa-0000-7000-8000-000000000001",
    "event__timestamp": "2026-11-28T10:00:00.123Z",
    "event__kind": "response.completed",
    "model": "gpt-4.1-mini",
    "auth_mode": "ApiKey",
    "input_token_count": 1000,
    "cached_token_count": "400",
    "output_token_count": 100,
    "reasoning_token_count": 64,
    "tool_token_count": 1100,
}


def read(*exports: otlp.Export, is_json: bool = True) -> list[ReportedCall]:
    return [
        each.call
        for export in exports
        for each in logs.read(wire.logs(otlp.encoded(export, is_json=is_json), is_json=is_json))
    ]


def claude(event: str = "claude_code.api_request", **values: Any) -> ReportedCall:
    (found,) = read(otlp.log(event, **REQUEST | values))
    return found


def codex(event: str = "codex.sse_event", **values: Any) -> ReportedCall:
    (found,) = read(otlp.log(event, "codex_otel", **CODEX | values))
    return found


@pytest.mark.parametrize("is_json", [True, False])
def test_claude_code_counts_input_without_the_cached_tokens(is_json: bool) -> None:
    (found,) = read(otlp.log("claude_code.api_request", **REQUEST), is_json=is_json)

    assert found.usage == {
        "input_tokens": 12,
        "output_tokens": 300,
        "cache_read_input_tokens": 5000,
        "cache_creation_input_tokens": 0,
    }
    assert (found.request_id, found.provider, found.api) == (REQUEST["request_id"], "anthropic", "messages")
    assert (found.missing, found.told_cost_usd, found.account) == ("", "0.0061", {"organization": "org-1"})
    assert found.attribution.workflow_id == REQUEST["session__id"]
    # The record is written when the call is over.
    assert found.started_at == pytest.approx(1795833909.855752)
    assert found.duration_ms == 2500


def test_claude_code_tells_no_lifetime_of_cache_writes() -> None:
    assert claude(cache_creation_tokens=10).missing == "cache-write-lifetime"


def test_claude_code_on_other_clouds_and_at_other_speeds() -> None:
    assert claude(model="us.anthropic.claude-sonnet-4-5-v1:0").provider == "aws"
    assert claude(model="claude-sonnet-4-5@20250929").provider == "google"
    assert (claude(speed="fast").usage or {})["speed"] == "fast"
    assert claude(output_tokens="many").missing == "unreadable-count:output_tokens"


def test_an_error_of_claude_code_is_a_failed_call() -> None:
    found = claude("claude_code.api_error", status_code="529", error="Overloaded: …", request_id="")

    assert (found.status, found.error_code, found.usage) == ("failed", "529", None)
    assert found.request_id == f"claude_code.api_error:{REQUEST['session__id']}:::1795833912355751924"


def test_codex_counts_input_with_the_cached_tokens() -> None:
    found = codex()

    assert found.usage == {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 400},
        "output_tokens": 100,
        "output_tokens_details": {"reasoning_tokens": 64},
        "total_tokens": 1100,
    }
    assert (found.provider, found.api, found.missing) == ("openai", "responses", "")
    assert found.attribution.workflow_id == CODEX["conversation__id"]


def test_codex_has_no_ids_so_the_moment_tells_calls_apart() -> None:
    first, again, other = codex(), codex(), codex(event__timestamp="2026-11-28T10:00:01.000Z")

    assert first.request_id == again.request_id != other.request_id


def test_a_plan_pays_for_codex_with_a_chatgpt_account() -> None:
    assert codex(auth_mode="Chatgpt").missing == "subscription"


def test_failures_of_codex() -> None:
    assert codex(event__kind="response.failed").status == "failed"
    found = codex("codex.api_request", http__response__status_code=500)
    assert (found.status, found.error_code) == ("failed", "500")


@pytest.mark.parametrize(
    "export",
    [
        otlp.log("codex.api_request", "codex_otel", **CODEX, http__response__status_code=200),
        otlp.log("codex.sse_event", "codex_otel", **CODEX | {"event__kind": "response.output_item.done"}),
        otlp.log("claude_code.user_prompt", **REQUEST),
        otlp.log("claude_code.tool_result", **REQUEST),
        otlp.log("api_request", "my.own", **REQUEST),
        otlp.log("log", "my.own", body="Ordinary words."),
    ],
    ids=range(6),
)
def test_other_records_are_no_calls(export: otlp.Export) -> None:
    assert read(export) == []


@pytest.mark.django_db
def test_an_agent_s_calls_are_records_of_its_user_sent_twice_or_not(client: Client, drained: Callable[[], int]) -> None:
    org = factories.organization()
    ann = factories.member(org)
    ann.email = "ann@example.org"
    ann.save()
    token = otlp.token(org)
    exports = [
        otlp.log("claude_code.api_request", **REQUEST),
        otlp.log("codex.sse_event", "codex_otel", **CODEX),
    ]
    for export in (*exports, *exports):
        assert otlp.post(client, token, export, "/v1/logs").content == b"{}"
    drained()

    of_claude, of_codex = UsageRecord.objects.order_by("ai_provider")
    assert (of_claude.user_id, of_claude.org) == (ann.pk, org)
    # 12 × 3 + 5,000 × 0.30 + 300 × 15; 600 × 0.40 + 400 × 0.10 + 100 × 1.60 millionths of a dollar.
    assert of_claude.cost_usd == Decimal("0.006036")
    assert of_codex.cost_usd == Decimal("0.00044")
    assert of_claude.response_metadata["emitter"] == "com.anthropic.claude_code.events 2.1.0"
