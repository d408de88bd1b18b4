"""Real spans of nine emitters: each call is one record, with what its emitters tell of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.test import Client

from tests.support import factories, otlp
from usage_billing.ledger import consistency
from usage_billing.models import Organization, UsageRecord

pytestmark = pytest.mark.django_db

Drain = Callable[[], int]

COST = Decimal("0.36718216")
"""USD of all priced calls."""


@pytest.fixture
def org() -> Organization:
    return factories.organization()


def send(client: Client, org: Organization, exports: list[otlp.Export], *, is_json: bool = True) -> None:
    token = otlp.token(org)
    for export in exports:
        response = otlp.post(client, token, export, is_json=is_json, is_compressed=not is_json)
        assert (response.status_code, response.content) == (200, b"{}" if is_json else b"")


def check() -> list[UsageRecord]:
    """Return the records: one for each call."""
    records = list(UsageRecord.objects.order_by("created_at"))
    assert len(records) == otlp.CALLS
    assert len([each for each in records if each.price_source == "unpriced:no-usage"]) == otlp.WITHOUT_USAGE
    assert [day for day in consistency.days() for _ in consistency.differences(day)] == []
    return records


ARRANGEMENTS: dict[str, Callable[[list[otlp.Export]], list[otlp.Export]]] = {
    "seven exports": lambda exports: exports,
    "one export": lambda exports: [otlp.together(exports)],
    "each span by itself": otlp.split,
    "each span by itself, the last first": lambda exports: otlp.split(exports)[::-1],
    "each span by itself, in any order": lambda exports: random.Random(1).sample(
        parts := otlp.split(exports), len(parts)
    ),
    "twice over": lambda exports: [*exports, *exports[::-1]],
}


@pytest.mark.parametrize("is_json", [True, False], ids=["json", "protobuf"])
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_80_spans_are_the_59_calls_that_were_made(
    client: Client, org: Organization, drained: Drain, arrangement: str, is_json: bool
) -> None:
    send(client, org, ARRANGEMENTS[arrangement](otlp.exports()), is_json=is_json)
    drained()

    records = check()
    assert len({each.request_id for each in records}) == otlp.CALLS
    assert sum(each.cost_usd or 0 for each in records) == COST


def test_spans_that_come_when_the_others_are_recorded_change_no_total(
    client: Client, org: Organization, drained: Drain
) -> None:
    exports = otlp.split(otlp.exports())
    for part in (exports[1::2], exports[::2], exports):
        send(client, org, part)
        drained()

    assert sum(each.cost_usd or 0 for each in check()) == COST


def by_service(records: list[UsageRecord], service: str) -> list[UsageRecord]:
    return [each for each in records if each.tags.get("service.name") == service]


@pytest.fixture
def records(client: Client, org: Organization, drained: Drain) -> list[UsageRecord]:
    send(client, org, otlp.exports())
    drained()
    return check()


def test_openllmetry(records: list[UsageRecord]) -> None:
    found = [each for each in by_service(records, "probe-traceloop") if each.ai_provider == "openai"]

    assert len(found) == 9
    chat, _, stream, with_usage, flex, response, _, embedding, unknown = found
    assert (chat.ai_model, chat.prompt_tokens, chat.completion_tokens) == ("gpt-4.1-mini", 2810, 536)
    assert chat.cost_usd == (2810 * Decimal("0.40") + 536 * Decimal("1.60")) / 1_000_000
    assert stream.price_source == "unpriced:no-usage"
    assert with_usage.cost_usd == chat.cost_usd
    assert (flex.reasoning_tokens, flex.response_metadata["context"]) == (192, {"service_tier": "flex"})
    assert (response.endpoint, response.usage["input_tokens"]) == ("/v1/responses", 2805)
    assert (embedding.endpoint, embedding.usage) == ("/v1/embeddings", {"prompt_tokens": 2, "total_tokens": 2})
    assert unknown.cost_usd is None


def test_openllmetry_counts_one_output_token_too_many_of_each_stream(
    client: Client, org: Organization, drained: Drain
) -> None:
    """Where the Anthropic SDK does not send its own spans, the count is not priced, and the record says why."""
    scope = "opentelemetry.instrumentation.anthropic"
    alone = [each for each in otlp.split(otlp.exports()) if f'"{scope}"' in otlp.encoded(each, is_json=True).decode()]
    for export in alone:
        for span in otlp.items(export):
            span["attributes"] = [each for each in span["attributes"] if "cache" not in each["key"]]
    send(client, org, alone)
    drained()

    records = UsageRecord.objects.order_by("created_at")
    assert [(each.completion_tokens, each.price_source) for each in records] == [
        (200, "unpriced:output-perhaps-counted-twice"),
        (200, "unpriced:output-perhaps-counted-twice"),
        (201, "unpriced:output-counted-twice"),
        (201, "unpriced:output-perhaps-counted-twice"),
    ]
    assert {each.response_metadata["emitter_fault"].partition("-")[0] for each in records} == {"output"}


@pytest.mark.parametrize(
    "service", ["probe-traceloop", "probe-openinference", "probe-genai", "probe-genai-gen_ai_latest_experimental"]
)
def test_the_anthropic_sdk_s_own_span_is_kept(records: list[UsageRecord], service: str) -> None:
    """The outer instrumentation tells no lifetime of the cache writes, and OpenInference no id."""
    found = [each for each in by_service(records, service) if each.ai_provider == "anthropic"]

    assert len(found) == 4
    for each in found:
        assert each.usage == {
            "input_tokens": 6,
            "output_tokens": 200,
            "cache_creation_input_tokens": 2800,
            "cache_creation": {"ephemeral_1h_input_tokens": 2800},
            "service_tier": "standard",
        }
        assert each.request_id.startswith("msg_")
        assert each.cost_usd == Decimal("0.013212")
        assert each.provider_organization == "00000000-0000-4000-8000-000000000000"
        assert each.response_metadata["emitter"] == "com.anthropic.sdk.python 2.12.0"


def test_openinference(records: list[UsageRecord]) -> None:
    found = [each for each in by_service(records, "probe-openinference") if each.ai_provider == "openai"]

    assert len(found) == 9
    chat, _, stream, with_usage, flex, response, _, embedding, _ = found
    assert chat.request_id == "chatcmpl-PZIHuddmKExWoWzzC55xzXMwRllOy"
    assert ":" in stream.request_id
    assert chat.cost_usd == with_usage.cost_usd == Decimal("0.0019816")
    assert flex.response_metadata["context"] == {"service_tier": "flex"}
    assert (response.endpoint, response.reasoning_tokens) == ("/v1/responses", 192)
    assert (embedding.ai_model, embedding.prompt_tokens) == ("text-embedding-3-small", 2)


@pytest.mark.parametrize("service", ["probe-genai", "probe-genai-gen_ai_latest_experimental"])
def test_opentelemetry_s_own_instrumentations(records: list[UsageRecord], service: str) -> None:
    found = [each for each in by_service(records, service) if each.ai_provider == "openai"]

    assert len(found) == 9
    chat, _, stream, _, flex, response, _, embedding, _ = found
    assert chat.cost_usd == Decimal("0.0019816")
    assert stream.price_source == "unpriced:no-usage"
    assert flex.response_metadata["context"] == {"service_tier": "flex"}
    assert (response.endpoint, response.usage["output_tokens_details"]) == ("/v1/responses", {"reasoning_tokens": 192})
    assert embedding.endpoint == "/v1/embeddings"


def test_pydantic_ai(records: list[UsageRecord]) -> None:
    chat, response, message = by_service(records, "probe-pydantic-ai")

    assert (chat.prompt_tokens, chat.completion_tokens, chat.agent_id) == (2810, 522, "legal")
    assert chat.workflow_id == "01a22017-813b-77eb-bb72-bb5fbefa2ccc"
    assert chat.response_metadata["told_cost_usd"] == "0.0019592"
    assert chat.cost_usd == Decimal("0.0019592")
    assert (response.reasoning_tokens, response.cost_usd) == (192, Decimal("0.012732"))
    assert (message.usage["input_tokens"], message.cost_usd) == (2806, Decimal("0.010942"))


def test_logfire(records: list[UsageRecord]) -> None:
    chat, response, stream, message = by_service(records, "probe-logfire")

    assert chat.cost_usd == stream.cost_usd == Decimal("0.0019488")
    assert response.cost_usd == Decimal("0.012708")
    assert message.usage["cache_creation"] == {"ephemeral_5m_input_tokens": 2800}
    assert message.cost_usd == Decimal("0.009012")
    assert (stream.request_id, stream.execution_time_ms) == ("chatcmpl-qxCQsO1efF6zXBGZJqQN7qF7jBhsR", 82)


def test_no_prompt_and_no_answer_is_kept(records: list[UsageRecord]) -> None:
    """Guarantee 11."""
    sent = "".join(otlp.encoded(each, is_json=False).decode("utf-8", "replace") for each in otlp.exports())
    kept = repr([vars(each) for each in records])
    for words in ("привет", "Скидка", "Внимательный", "Сначала"):
        assert words in sent
        assert words not in kept
