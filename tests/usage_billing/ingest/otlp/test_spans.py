"""A span becomes a call: what kind of span it is, who answered, at which price, and how it ended."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import otlp
from usage_billing.ingest.otlp import spans, wire
from usage_billing.ingest.otlp.told import Told
from usage_billing.ingest.reported import ReportedCall

USED: dict[str, Any] = {"gen_ai__usage__input_tokens": 10, "gen_ai__usage__output_tokens": 5}
TRACE = "0123456789abcdef0123456789abcdef"


def read(*exports: otlp.Export) -> list[ReportedCall]:
    found = spans.read(wire.spans(otlp.encoded(otlp.together(list(exports)), is_json=True), is_json=True))
    return [each.call for each in found if isinstance(each, Told)]


def call(*scope: str, **values: Any) -> ReportedCall:
    (found,) = read(otlp.span(*scope, **values))
    return found


def given(**values: Any) -> list[dict[str, Any]]:
    return otlp.attributes(**values)


@pytest.mark.parametrize(
    "operation",
    ["invoke_agent", "create_agent", "invoke_workflow", "execute_tool", "retrieval", "plan", "search_memory"],
)
def test_spans_of_agents_and_tools_are_no_calls(operation: str) -> None:
    assert read(otlp.span(gen_ai__operation__name=operation, **USED)) == []


@pytest.mark.parametrize(
    ("values", "api"),
    [
        ({"openinference__span__kind": "LLM", "llm__model_name": "gpt-4.1-mini"}, "chat"),
        ({"openinference__span__kind": "EMBEDDING", "embedding__model_name": "text-embedding-3-small"}, "embeddings"),
        ({"openinference__span__kind": "AGENT", "llm__token_count__prompt": 5}, None),
        ({"openinference__span__kind": "TOOL"}, None),
        ({"traceloop__span__kind": "workflow", "gen_ai__usage__input_tokens": 5}, None),
        ({"llm__request__type": "completion", "gen_ai__request__model": "a"}, "chat"),
        ({"llm__request__type": "embedding", "gen_ai__request__model": "a"}, "embeddings"),
        ({"llm__request__type": "rerank", "gen_ai__request__model": "a"}, None),
        ({"ai__operationId": "ai.generateText", "ai__usage__promptTokens": 5, "ai__model__id": "a"}, None),
        ({"ai__operationId": "ai.streamText.doStream", "ai__usage__promptTokens": 5, "ai__model__id": "a"}, "chat"),
        ({"ai__operationId": "ai.toolCall"}, None),
        ({"gen_ai__request__model": "a", "gen_ai__response__id": "chatcmpl-1"}, "chat"),
        ({"gen_ai__request__model": "a"}, None),
        ({"http__request__method": "GET"}, None),
    ],
)
def test_spans_that_tell_no_operation_of_the_conventions(values: dict[str, Any], api: str | None) -> None:
    assert [each.api for each in read(otlp.span("any", given=given(**values)))] == ([api] if api else [])


def test_an_operation_that_nobody_knows_is_recorded_without_a_price() -> None:
    assert call(gen_ai__operation__name="rerank", **USED).missing == "unknown-operation"
    assert read(otlp.span(gen_ai__operation__name="rerank")) == []


@pytest.mark.parametrize(
    ("values", "provider"),
    [
        ({"gen_ai__provider__name": "azure.ai.openai"}, "azure"),
        ({"gen_ai__provider__name": "aws.bedrock"}, "aws"),
        ({"gen_ai__provider__name": "gcp.vertex_ai"}, "google"),
        ({"gen_ai__provider__name": "x_ai"}, "x-ai"),
        ({"gen_ai__provider__name": "mistral_ai"}, "mistral"),
        ({"gen_ai__provider__name": "openai.responses"}, "openai"),
        ({"gen_ai__provider__name": "OpenAI"}, "openai"),
        ({"gen_ai__provider__name": "deepseek"}, "deepseek"),
        ({"gen_ai__provider__name": ""}, "openai"),
        ({"server__address": "api.openai.com"}, "openai"),
        ({"server__address": "127.0.0.1"}, "openai"),
        ({"server__address": "mine.openai.azure.com"}, "azure"),
        ({"gen_ai__openai__api_base": "https://openrouter.ai/api/v1"}, "openrouter"),
        ({"server__address": "gateway.example.org"}, "gateway.example.org"),
        ({"server__address": "::1"}, "openai"),
        ({"server__address": "a b\x00"}, "openai"),
    ],
)
def test_who_answered(values: dict[str, Any], provider: str) -> None:
    assert call("opentelemetry.instrumentation.openai.v1", **values, **USED).provider == provider


def test_a_regional_host_has_its_own_prices() -> None:
    assert call(server__address="eu.api.openai.com", **USED).context == {"region": "eu"}


@pytest.mark.parametrize(
    ("values", "context", "missing"),
    [
        ({"openai__response__service_tier": "priority"}, {"service_tier": "priority"}, ""),
        (
            {"openai__request__service_tier": "priority", "openai__response__service_tier": "default"},
            {"service_tier": "default"},
            "",
        ),
        ({"openai__request__service_tier": "flex"}, {"service_tier": "flex"}, ""),
        ({"llm__invocation_parameters": '{"service_tier": "flex"}'}, {"service_tier": "flex"}, ""),
        ({"openai__request__service_tier": "auto"}, {}, ""),
        ({"openai__request__service_tier": "priority"}, {}, "service-tier"),
        ({"gen_ai__openai__request__service_tier": "priority"}, {}, "service-tier"),
    ],
)
def test_the_tier_of_the_answer_sets_the_price(values: dict[str, Any], context: dict[str, str], missing: str) -> None:
    found = call(**values, **USED)

    assert (found.context, found.missing) == (context, missing)


def test_anthropic_tells_the_tier_within_its_block() -> None:
    found = call(
        gen_ai__provider__name="anthropic",
        gen_ai__request__model="claude-sonnet-4-5",
        anthropic__response__service_tier="priority",
        **USED,
    )
    assert (found.api, found.context) == ("messages", {})
    assert found.usage == {"service_tier": "priority", "input_tokens": 10, "output_tokens": 5}


@pytest.mark.parametrize(
    ("scope", "values", "status", "error_code"),
    [
        ("a", {"status": 1, **USED}, "succeeded", ""),
        ("a", {"status": 0, **USED}, "succeeded", ""),
        (
            "a",
            {"status": 2, "error__type": "openai.RateLimitError", "http__response__status_code": 429},
            "failed",
            "429 RateLimitError",
        ),
        ("a", {"error__type": "429", "http__response__status_code": 429}, "failed", "429"),
        ("a", {"status": 2}, "failed", ""),
        # The answer had begun: nobody knows what it cost.
        ("a", {"status": 2, "gen_ai__response__id": "chatcmpl-0123456789abcdef"}, "aborted", ""),
        ("a", {"status": 2, "http__response__status_code": 200}, "aborted", ""),
        ("com.anthropic.sdk.python", {"status": 0, **USED}, "aborted", ""),
        ("com.anthropic.sdk.python", {"status": 1, **USED}, "succeeded", ""),
    ],
)
def test_how_a_call_ended(scope: str, values: dict[str, Any], status: str, error_code: str) -> None:
    found = call(scope, **values)

    assert (found.status, found.error_code) == (status, error_code)


@pytest.mark.parametrize(
    ("values", "request_id"),
    [
        ({"gen_ai__response__id": "chatcmpl-0123456789abcdef"}, "chatcmpl-0123456789abcdef"),
        ({"gen_ai__response__id": "chatcmpl-123"}, f"{TRACE}:0000000000000001"),
        ({"output__value": '{"id": "chatcmpl-0123456789abcdef", "choices": [{"te…'}, "chatcmpl-0123456789abcdef"),
        ({"output__value": '{"text": "\\"id\\": \\"chatcmpl-0123456789abcdef\\""}'}, f"{TRACE}:0000000000000001"),
        ({"status": 2, "anthropic__request__id": "req_0123456789abcdef0"}, "req_0123456789abcdef0"),
        ({"anthropic__request__id": "req_0123456789abcdef0"}, f"{TRACE}:0000000000000001"),
    ],
)
def test_the_id_of_a_call(values: dict[str, Any], request_id: str) -> None:
    assert call(**values).request_id == request_id


def test_an_answer_in_an_attribute_tells_usage_and_tier() -> None:
    """As OpenInference has it; text of the answer is not read."""
    answer = (
        '{"id": "chatcmpl-0123456789abcdef", "model": "gpt-4.1-mini-2025-04-14", "choices": [{"message": "secret"}],'
        ' "service_tier": "default", "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}'
    )
    found = call(output__value=answer)

    assert found.usage == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    assert (found.model, found.context) == ("gpt-4.1-mini-2025-04-14", {"service_tier": "default"})
    assert "secret" not in repr(found)


def test_the_beginning_of_a_stream_of_logfire_is_no_call_of_its_own() -> None:
    assert read(otlp.span("logfire.openai", "5.4.0")) == []
    assert call("logfire.openai", "5.4.0", status=2).status == "failed"
    assert call("logfire.openai", "5.4.0", **USED).usage is not None


def test_the_ancestors_of_a_span_go_through_all_spans_of_the_export() -> None:
    outer = otlp.span(number=1, gen_ai__operation__name="invoke_agent")
    middle = otlp.span("http", number=2, parent=1, given=[])
    inner = otlp.span(number=3, parent=2, **USED)

    for order in ([inner, middle, outer], [outer, middle, inner]):
        (found,) = read(*order)
        assert found.span is not None
        assert found.span.ancestors == [f"{number:016x}" for number in (2, 1)]


def test_spans_that_are_their_own_ancestors_end_the_search() -> None:
    found = read(otlp.span(number=1, parent=2, **USED), otlp.span(number=2, parent=1, **USED))

    assert [each.span.ancestors for each in found if each.span] == [[f"{2:016x}"], [f"{1:016x}"]]


def test_who_caused_the_call() -> None:
    found = call(
        resource={"service__name": "shop", "ai_costs__agent_id": "writer", "ai_costs__tags__team": "a"},
        gen_ai__agent__name="other",
        gen_ai__conversation__id="talk-1",
        ai_costs__request_type="digest",
        ai_costs__content_id="doc-1",
        **USED,
    )
    given = found.attribution
    assert (given.agent_id, given.workflow_id, given.request_type, given.content_id) == (
        "writer",
        "talk-1",
        "digest",
        "doc-1",
    )
    assert given.tags == {"team": "a", "service.name": "shop"}


def test_what_the_emitter_says_it_cost_is_kept_as_told() -> None:
    assert call(operation__cost=0.0019592, **USED).told_cost_usd == "0.0019592"
    assert call(gen_ai__usage__cost="1e-05", **USED).told_cost_usd == "1e-05"
    assert call(operation__cost="a secret", **USED).told_cost_usd == ""
