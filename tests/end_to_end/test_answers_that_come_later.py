"""Batches and background responses: recorded once, when their answers are fetched, at the price of their kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from django.core.management import call_command

from ai_clients import Anthropic, OpenAI
from tests.support import factories, wire_cases
from tests.support.scripted import Provider, plain
from usage_billing import usage_context
from usage_billing.models import UsageRecord

pytestmark = pytest.mark.django_db

USAGE = {"input_tokens": 1000, "output_tokens": 100}
CHAT_USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
HAIKU = "claude-haiku-4-5"


def jsonl(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def line(number: int, status: int, body: dict[str, Any]) -> dict[str, Any]:
    """A line of OpenAI's batch output."""
    response = {"status_code": status, "request_id": f"req_{number:032d}", "body": body}
    return {"id": f"batch_req_{number:030d}", "custom_id": f"task-{number}", "response": response, "error": None}


def test_results_of_an_openai_batch_are_calls_at_half_the_price_once(drained: Callable[[], int]) -> None:
    org = factories.organization()
    refused = {"error": {"code": "invalid_prompt", "message": "m", "type": "invalid_request_error", "param": None}}
    output = jsonl(
        line(1, 200, wire_cases.chat("gpt-4.1-mini", CHAT_USAGE)),
        line(2, 200, wire_cases.response("gpt-5-mini", USAGE)),
        line(3, 400, refused),
    )
    provider = Provider(lambda _request: plain(output, headers={"content-type": "application/octet-stream"}))
    client = OpenAI(api_key="k", base_url="https://api.openai.com/v1", http_client=httpx2.Client(transport=provider))
    with usage_context(org=org, agent_id="nightly"):
        for _ in range(2):
            assert client.files.content("file-output").read() == output
    drained()
    costs = {
        (record.ai_model, record.status, record.cost_usd) for record in UsageRecord.objects.filter(agent_id="nightly")
    }
    assert costs == {
        # 1000 × 0.20 + 100 × 0.80
        ("gpt-4.1-mini", "succeeded", Decimal("0.00028")),
        # 1000 × 0.125 + 100 × 1
        ("gpt-5-mini", "succeeded", Decimal("0.000225")),
        ("", "failed", Decimal(0)),
    }
    assert UsageRecord.objects.filter(org=org).count() == 3
    call_command("check_usage")


def test_results_of_an_anthropic_batch_are_calls_at_half_the_price_once(drained: Callable[[], int]) -> None:
    org = factories.organization()
    message = wire_cases.message(HAIKU, {**USAGE, "service_tier": "batch"})
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "m"}, "request_id": None}
    results = jsonl(
        {"custom_id": "a", "result": {"type": "succeeded", "message": message}},
        {"custom_id": "b", "result": {"type": "errored", "error": error}},
        {"custom_id": "c", "result": {"type": "expired"}},
    )
    counts = {"processing": 0, "succeeded": 1, "errored": 1, "canceled": 0, "expired": 1}
    batch = {
        "id": "msgbatch_0123456789",
        "type": "message_batch",
        "processing_status": "ended",
        "request_counts": counts,
        "results_url": "https://api.anthropic.com/v1/messages/batches/msgbatch_0123456789/results",
        **dict.fromkeys(("archived_at", "cancel_initiated_at", "ended_at")),
        "created_at": "2026-11-18T00:00:00Z",
        "expires_at": "2026-11-19T00:00:00Z",
    }

    def answer(request: httpx2.Request) -> httpx2.Response:
        is_results = request.url.path.endswith("/results")
        return plain(results, headers={"content-type": "application/x-jsonl"}) if is_results else plain(batch)

    client = Anthropic(
        api_key="k", base_url="https://api.anthropic.com", http_client=httpx2.Client(transport=Provider(answer))
    )
    with usage_context(org=org):
        for _ in range(2):
            kinds = [result.result.type for result in client.messages.batches.results("msgbatch_0123456789")]
            assert kinds == ["succeeded", "errored", "expired"]
    drained()
    # 1000 × 0.50 + 100 × 2.50
    costs = sorted(UsageRecord.objects.filter(org=org).values_list("status", "cost_usd"))
    assert costs == [("failed", Decimal(0)), ("failed", Decimal(0)), ("succeeded", Decimal("0.00075"))]
    call_command("check_usage")


def test_a_background_response_is_one_call_from_begin_to_end(drained: Callable[[], int]) -> None:
    org = factories.organization()
    factories.rate(factories.today(org))
    done = wire_cases.response("gpt-5-mini", USAGE, background=True)
    begun = {**done, "status": "queued", "usage": None}
    answers = iter([begun, {**begun, "status": "in_progress"}, done, done, done])
    client = OpenAI(
        api_key="k",
        base_url="https://api.openai.com/v1",
        http_client=httpx2.Client(transport=Provider(lambda _request: plain(next(answers)))),
    )
    with usage_context(org=org, agent_id="trends_scout"):
        response = client.responses.create(model="gpt-5-mini", input="Hello", background=True)
    drained()
    assert UsageRecord.objects.get(org=org).price_source == "unpriced:pending"
    while response.status != "completed":  # by whoever: outside of the context
        response = client.responses.retrieve(response.id)
    drained()
    client.responses.retrieve(response.id)
    drained()
    record = UsageRecord.objects.get()
    assert (record.org_id, record.agent_id, record.status) == (org.pk, "trends_scout", "succeeded")
    # 1000 × 0.25 + 100 × 2
    assert (record.cost_usd, record.cost_rub) == (Decimal("0.00045"), Decimal("0.036"))
    call_command("check_usage")


def test_fetching_what_is_stored_is_no_call(drained: Callable[[], int]) -> None:
    whole = wire_cases.response("gpt-5-mini", USAGE)
    listed: dict[str, Any] = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    answers = {"/v1/models": listed, "/v1/messages/count_tokens": {"input_tokens": 5}}
    provider = Provider(lambda request: plain(answers.get(request.url.path, whole)))
    openai = OpenAI(api_key="k", base_url="https://api.openai.com/v1", http_client=httpx2.Client(transport=provider))
    anthropic = Anthropic(
        api_key="k", base_url="https://api.anthropic.com", http_client=httpx2.Client(transport=provider)
    )
    openai.responses.retrieve(whole["id"])
    openai.models.list()
    anthropic.messages.count_tokens(model=HAIKU, messages=[{"role": "user", "content": "Hello"}])
    assert drained() == 0
    assert len(provider.requests) == 3
