"""Costs that were wrong or missing once, each from the wire to the record. The working and the page stand beside each.

Amounts are USD. Other tests go into each rule; this is the list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from ai_clients import Anthropic, AzureOpenAI, OpenAI
from tests.support import factories, wire_cases
from tests.support.configure import configure
from tests.support.factories import event
from tests.support.scripted import Provider, plain, streamed
from usage_billing.ledger import writer
from usage_billing.models import UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("explained_costs")]

Drained = Callable[[], int]
PROMPT: Any = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True)
class Answer:
    """An answer on the wire. `path`: below the base URL; `host`: whose; `sse`: its body is a stream."""

    path: str
    body: Any
    host: str = "https://api.openai.com/v1"
    asked: dict[str, Any] = field(default_factory=dict)
    sse: bytes = b""


def call(answer: Answer) -> None:
    """Send a request by one of our clients, whose provider gives this answer."""
    provider = Provider(lambda _: streamed(answer.sse) if answer.sse else plain(answer.body))
    http_client = httpx2.Client(transport=provider)
    is_anthropic = answer.path.startswith("/v1/messages")
    kind: Any = Anthropic if is_anthropic else OpenAI
    client = kind(api_key="k", base_url=answer.host, max_retries=0, http_client=http_client)
    raw = client.post(
        answer.path, body={"model": "asked", "stream": bool(answer.sse), **answer.asked}, cast_to=httpx2.Response
    )
    raw.read()


def chat(model: str, usage: dict[str, Any], host: str = "https://api.openai.com/v1") -> Answer:
    body = {"id": wire_cases.an_id("chatcmpl-"), "object": "chat.completion", "model": model, "choices": []}
    return Answer("/chat/completions", {**body, "usage": usage}, host)


def message(model: str, usage: dict[str, Any], **more: Any) -> Answer:
    body = {"id": wire_cases.an_id("msg_01"), "type": "message", "role": "assistant", "model": model, "content": []}
    return Answer("/v1/messages", {**body, "usage": usage, **more}, "https://api.anthropic.com")


def message_stream(start: dict[str, Any], delta: dict[str, Any]) -> Answer:
    begun = {"id": wire_cases.an_id("msg_01"), "model": "claude-sonnet-4-6", "usage": start}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": delta},
        {"type": "message_stop"},
    ]
    return Answer("/v1/messages", None, "https://api.anthropic.com", sse=wire_cases.sse(*events, named=True))


def response(model: str, usage: dict[str, Any], output: Any = (), tools: Any = (), **more: Any) -> Answer:
    body = {"id": wire_cases.an_id("resp_"), "object": "response", "model": model, "status": "completed"}
    return Answer("/responses", {**body, "usage": usage, "output": [*output], "tools": [*tools], **more})


def searched(number: int) -> list[dict[str, Any]]:
    action = {"type": "search", "query": "x"}
    return [
        {"type": "web_search_call", "id": f"ws_{n}", "status": "completed", "action": action} for n in range(number)
    ]


REFUSED = {"stop_reason": "refusal", "content": []}
GATEWAY = "http://127.0.0.1:4000/v1"
IMAGE_TOOL = {
    "input_tokens": 1000, "input_tokens_details": {"text_tokens": 200, "image_tokens": 800},
    "cached_tokens": 700, "cached_tokens_details": {"cached_text_tokens": 100, "cached_image_tokens": 600},
    "output_tokens": 1000, "output_tokens_details": {"image_tokens": 1000, "text_tokens": 0}, "total_tokens": 2000,
}  # fmt: skip

# fmt: off
COSTS: dict[str, tuple[Answer, str]] = {
    # Anthropic, Refusals and fallback (How refusals are billed)
    "1 refusal, cyber": (message("claude-sonnet-5-5", {"input_tokens": 10_000, "output_tokens": 1}, **REFUSED, stop_details={"type": "refusal", "category": "cyber"}), "0"),
    "1 refusal, bio": (message("claude-sonnet-5-5", {"input_tokens": 10_000, "output_tokens": 1}, **REFUSED, stop_details={"type": "refusal", "category": "bio"}), "0.02001"),
    # Anthropic, Pricing, Long context pricing: 404,500 × 3 + 943 × 15 + 10 × $0.01
    "5 steps of a loop": (message("claude-sonnet-4-5", {"input_tokens": 404_500, "output_tokens": 943, "server_tool_use": {"web_search_requests": 10}}), "1.327645"),
    # Anthropic, Prompt caching, Pre-warming: 10,000 × 2.50
    "6 cache warming": (message("claude-sonnet-5-5", {"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 10_000, "cache_creation": {"ephemeral_5m_input_tokens": 10_000, "ephemeral_1h_input_tokens": 0}}), "0.025"),
    # OpenAI, Pricing, Transcription models: 64 × 2.50 + 225 × 10
    "8 audio of a transcription": (Answer("/audio/transcriptions", {"text": "x", "usage": {"type": "tokens", "input_tokens": 64, "input_token_details": {"audio_tokens": 64, "text_tokens": 0}, "output_tokens": 225, "total_tokens": 289}}, asked={"model": "gpt-4o-transcribe"}), "0.00241"),
    # OpenAI, Pricing: 1000 × 2.50 + 100 × 15 (terra); 100 × 5 + 100 × 1.25 + 200 × 8 + 600 × 2 + 1000 × 30 (image)
    "9 cached input of an image tool": (response("gpt-6.1-terra", {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}, tools=[{"type": "image_generation", "model": "gpt-image-2"}], tool_usage={"image_gen": IMAGE_TOOL}), "0.034925"),
    # OpenAI, Pricing, Tools: “Web search preview (non-reasoning models): $25.00 / 1k calls”; 1000 × 2 + 100 × 8
    "11 preview search": (response("gpt-4.1", {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}, searched(1), [{"type": "web_search_preview"}]), "0.0278"),
    # OpenAI, Pricing, Tools: 8,508 × .15 + 463 × .6 + 0.01; the block of 8,000 tokens is in the usage
    "12 search of a small model": (response("gpt-4o-mini", {"input_tokens": 8508, "output_tokens": 463, "total_tokens": 8971}, searched(1), [{"type": "web_search"}]), "0.011554"),
    # OpenAI, Ultrafast mode: six times the standard price
    "13 ultrafast": (response("gpt-6-astra", {"input_tokens": 100_000, "input_tokens_details": {"cached_tokens": 60_000, "cache_write_tokens": 10_000}, "output_tokens": 1000, "total_tokens": 101_000}, service_tier="ultrafast"), "3.21"),
    # Anthropic, Pricing, Model pricing
    "13 claude-mythos-5": (message("claude-mythos-5", {"input_tokens": 100_000, "output_tokens": 10_000}), "1.5"),
    # Anthropic, Streaming messages
    "16 zero in a delta": (message_stream({"input_tokens": 15, "output_tokens": 1}, {"input_tokens": 0, "output_tokens": 42}), "0.000675"),
    "16 restated writes": (message_stream({"input_tokens": 317, "cache_creation_input_tokens": 4425, "cache_creation": {"ephemeral_5m_input_tokens": 4425}}, {"input_tokens": 317, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4425, "output_tokens": 20}), "0.0025785"),
    # xAI, Models and pricing: reasoning is told beside the completion
    "17 x.ai": (chat("grok-4.20", {"prompt_tokens": 10_120, "completion_tokens": 1499, "total_tokens": 14_428, "prompt_tokens_details": {"cached_tokens": 128}, "completion_tokens_details": {"reasoning_tokens": 2809}}, "https://api.x.ai/v1"), "0.0232856"),
    "17 reasoning alone": (chat("gemini-2.5-flash", {"prompt_tokens": 21, "completion_tokens": 0, "total_tokens": 81, "completion_tokens_details": {"reasoning_tokens": 60}}, GATEWAY), "0.0001563"),
    # OpenRouter, Usage accounting
    "18 a host's own cost": (chat("openai/gpt-4o", {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "cost": 0.00042}, "https://openrouter.ai/api/v1"), "0.00042"),
    "19 vendor in front": (chat("openai/gpt-4.1-mini", {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}, GATEWAY), "0.00056"),
    # Anthropic, Fallback credit: “The refund is visible in the retry's usage”: 1000 × 5 + 50,000 × 6.25 + 100 × 25
    "22 fallback credit": (message("claude-opus-4-8", {"input_tokens": 1000, "output_tokens": 100, "cache_creation_input_tokens": 50_000, "fallback_credit": {"status": {"type": "redeemed"}}}), "0.32"),
    # OpenAI, Decisions: $0.10 for a million input tokens; the output is free
    "decisions": (Answer("/decisions", {"id": "dec_0123456789abcdef01234567", "model": "gpt-6-luna", "usage": {"input_tokens": 5000, "output_tokens": 10, "total_tokens": 5010}}), "0.0005"),
    "new endpoint": (Answer("/brand_new", {"id": "new_0123456789abcdef01234567", "model": "gpt-4.1-mini", "usage": {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}}), "0.00056"),
}
# fmt: on


@pytest.mark.parametrize("case", COSTS)
def test_cost(case: str, drained: Drained) -> None:
    answer, usd = COSTS[case]
    call(answer)
    assert drained() == 1
    record = UsageRecord.objects.get()
    assert record.cost_usd == Decimal(usd), record.price_source


def test_total_that_is_not_the_sum_of_its_parts_is_never_the_small_sum(drained: Drained) -> None:
    """Row 17: prompt 20, completion 198, total 623."""
    call(chat("gemini-2.5-flash", {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}, GATEWAY))
    assert drained() == 1
    record = UsageRecord.objects.get()
    assert (record.cost_usd, record.price_source) == (None, "unpriced:contradictory-usage")


def test_price_of_a_variant_is_that_of_its_day() -> None:
    """Row 4. Anthropic, Batch processing: half the standard price, also before the list has the variant."""
    batch = event(
        url=factories.MESSAGES, flavour="messages", model="claude-sonnet-5-5", usage={"input_tokens": 1_000_000},
        context={"processing": "batch"}, at=datetime(2026, 10, 1, tzinfo=UTC),
    )  # fmt: skip
    writer.add([batch])
    assert UsageRecord.objects.get().cost_usd == Decimal(1)


def test_known_part_of_a_cost_is_a_lower_bound_and_in_no_total(drained: Drained) -> None:
    """Row 14."""
    call(response("gpt-4.1", {"input_tokens": 1000, "output_tokens": 100, "odd_tokens": 7, "total_tokens": 1100}))
    assert drained() == 1
    record = UsageRecord.objects.get()
    assert (record.cost_usd, record.known_cost_usd) == (None, Decimal("0.0028"))


@pytest.mark.parametrize("key", ["gpt4-turbo", "acme.openai.azure.com/gpt4-turbo"])
def test_deployment_is_priced_as_its_model(key: str, drained: Drained, settings: Any) -> None:
    """Row 20. Azure, Pricing: gpt-4-turbo, 1000 × 10 + 100 × 30."""
    configure(settings, DEPLOYMENTS={key: "gpt-4-turbo"})
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    body = {"id": wire_cases.an_id("chatcmpl-"), "object": "chat.completion", "model": "gpt-4", "choices": []}
    client = AzureOpenAI(
        api_key="k", api_version="2024-10-21", azure_endpoint="https://acme.openai.azure.com",
        http_client=httpx2.Client(transport=Provider(lambda _: plain({**body, "usage": usage}))),
    )  # fmt: skip
    client.chat.completions.create(model="gpt4-turbo", messages=PROMPT)
    assert drained() == 1
    assert UsageRecord.objects.get().cost_usd == Decimal("0.013")
