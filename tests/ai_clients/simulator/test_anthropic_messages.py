"""Messages through the official Anthropic SDK."""

import json
import re
from itertools import groupby

import anthropic
import pytest
from anthropic.types import ImageBlockParam, Message, MessageParam, ToolParam

from ai_clients.simulator import Simulator
from ai_clients.simulator.tokens import ATTACHMENT_TOKENS, MESSAGE_TOKENS, compact_json, count
from tests.support.answer_schemas import Review

MODEL = "claude-sonnet-4-6"
SYSTEM = "You answer in one paragraph."
QUESTION = "Which invoices of the last quarter are late?"
MESSAGES: list[MessageParam] = [{"role": "user", "content": QUESTION}]
TOOL: ToolParam = {
    "name": "find_invoices",
    "input_schema": {"type": "object", "properties": {"days_late": {"type": "integer", "minimum": 30}}},
}


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_create_reports_usage_by_the_rule(anthropic_client: anthropic.Anthropic) -> None:
    message = anthropic_client.messages.create(model=MODEL, max_tokens=500, system=SYSTEM, messages=MESSAGES)
    assert "invoices" in text_of(message)
    assert (message.model, message.stop_reason) == (MODEL, "end_turn")
    assert re.fullmatch(r"msg_01[0-9A-Za-z]{22}", message.id)
    assert message.usage.to_dict() == {
        "input_tokens": count(SYSTEM) + count(QUESTION) + MESSAGE_TOKENS,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": count(text_of(message)),
        "service_tier": "standard",
        "inference_geo": "global",
    }


def test_create_sends_a_body_true_to_the_wire(anthropic_client: anthropic.Anthropic) -> None:
    raw = anthropic_client.messages.with_raw_response.create(model=MODEL, max_tokens=500, messages=MESSAGES)
    body = json.loads(raw.text())
    Message.model_validate(body, strict=True)
    assert body["stop_sequence"] is None
    assert set(body["content"][0]) == {"type", "text"}
    assert re.fullmatch(r"req_011C[0-9A-Za-z]{20}", raw.headers["request-id"])
    assert text_of(raw.parse()) == body["content"][0]["text"]


def test_create_twice_differs_only_in_ids(anthropic_client: anthropic.Anthropic) -> None:
    first = anthropic_client.messages.create(model=MODEL, max_tokens=500, messages=MESSAGES)
    second = anthropic_client.messages.create(model=MODEL, max_tokens=500, messages=MESSAGES)
    assert first.content == second.content
    assert first.usage == second.usage
    assert first.id != second.id
    assert first._request_id != second._request_id


def test_create_cut_by_the_limit(anthropic_client: anthropic.Anthropic) -> None:
    message = anthropic_client.messages.create(model=MODEL, max_tokens=5, messages=MESSAGES)
    assert message.stop_reason == "max_tokens"
    assert len(text_of(message)) == 20
    assert message.usage.output_tokens == 5


def test_create_counts_blocks_images_tools_and_results(anthropic_client: anthropic.Anthropic) -> None:
    image: ImageBlockParam = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
    }
    messages: list[MessageParam] = [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "find_invoices", "input": {"a": 1}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "none"}]},
    ]
    expected = (
        3 * MESSAGE_TOKENS
        + count("What is this?")
        + ATTACHMENT_TOKENS
        + count('{"a":1}')
        + count("none")
        + count(compact_json(TOOL))
    )
    message = anthropic_client.messages.create(model=MODEL, max_tokens=500, messages=messages, tools=[TOOL])
    assert message.usage.input_tokens == expected
    counted = anthropic_client.messages.count_tokens(model=MODEL, messages=messages, tools=[TOOL])
    assert counted.input_tokens == expected


def test_create_reports_cache_writes_by_ttl(anthropic_client: anthropic.Anthropic) -> None:
    message = anthropic_client.messages.create(
        model=MODEL,
        max_tokens=500,
        system=[
            {"type": "text", "text": "a" * 400},
            {"type": "text", "text": "b" * 80, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        ],
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "c" * 40, "cache_control": {"type": "ephemeral"}},
                    {"type": "text", "text": QUESTION},
                ],
            }
        ],
    )
    assert message.usage.cache_creation is not None
    assert message.usage.cache_creation.ephemeral_1h_input_tokens == 120
    assert message.usage.cache_creation.ephemeral_5m_input_tokens == 10 + MESSAGE_TOKENS
    assert message.usage.cache_creation_input_tokens == 130 + MESSAGE_TOKENS
    assert message.usage.cache_read_input_tokens == 0
    assert message.usage.input_tokens == count(QUESTION)


def test_create_with_a_mark_on_the_request_caches_all_of_it(anthropic_client: anthropic.Anthropic) -> None:
    message = anthropic_client.messages.create(
        model=MODEL, max_tokens=500, messages=MESSAGES, cache_control={"type": "ephemeral"}
    )
    assert message.usage.input_tokens == 0
    assert message.usage.cache_creation_input_tokens == count(QUESTION) + MESSAGE_TOKENS


def test_create_calls_the_forced_tool(anthropic_client: anthropic.Anthropic) -> None:
    message = anthropic_client.messages.create(
        model=MODEL,
        max_tokens=500,
        messages=MESSAGES,
        tools=[TOOL],
        tool_choice={"type": "tool", "name": "find_invoices"},
    )
    assert message.stop_reason == "tool_use"
    (block,) = message.content
    assert block.type == "tool_use"
    assert (block.name, block.input) == ("find_invoices", {"days_late": 30})
    assert message.usage.output_tokens == count("find_invoices") + count('{"days_late":30}')


def test_create_thinks_when_asked(anthropic_client: anthropic.Anthropic) -> None:
    message = anthropic_client.messages.create(
        model=MODEL, max_tokens=500, messages=MESSAGES, thinking={"type": "adaptive"}
    )
    thinking, text = message.content
    assert thinking.type == "thinking"
    assert text.type == "text"
    assert message.usage.output_tokens == count(thinking.thinking) + count(text.text)
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens == count(thinking.thinking)


def test_parse_returns_the_model_asked_for(anthropic_client: anthropic.Anthropic) -> None:
    message = anthropic_client.messages.parse(model=MODEL, max_tokens=500, messages=MESSAGES, output_format=Review)
    assert isinstance(message.parsed_output, Review)


def test_stream_sends_the_events_in_order(anthropic_client: anthropic.Anthropic) -> None:
    plain = anthropic_client.messages.create(model=MODEL, max_tokens=500, messages=MESSAGES)
    events = list(anthropic_client.messages.create(model=MODEL, max_tokens=500, messages=MESSAGES, stream=True))
    assert [kind for kind, _ in groupby(event.type for event in events)] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    first, last = events[0], events[-2]
    assert first.type == "message_start"
    assert first.message.usage.input_tokens == plain.usage.input_tokens
    assert first.message.usage.output_tokens == 1
    assert first.message.usage.cache_creation == plain.usage.cache_creation
    assert (first.message.content, first.message.stop_reason) == ([], None)
    assert last.type == "message_delta"
    assert last.delta.stop_reason == "end_turn"
    assert last.usage.to_dict() == {
        "input_tokens": plain.usage.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": plain.usage.output_tokens,
    }


def test_stream_on_the_wire_has_a_ping(anthropic_client: anthropic.Anthropic) -> None:
    with anthropic_client.messages.with_streaming_response.create(
        model=MODEL, max_tokens=500, messages=MESSAGES, stream=True
    ) as response:
        events = response.read().split(b"\n\n")
    assert events[0].startswith(b'event: message_start\ndata: {"message":{"id":"msg_01')
    assert events[2] == b'event: ping\ndata: {"type":"ping"}'
    assert events[-2:] == [b'event: message_stop\ndata: {"type":"message_stop"}', b""]


def test_stream_helper_collects_text_and_usage(anthropic_client: anthropic.Anthropic) -> None:
    plain = anthropic_client.messages.create(
        model=MODEL, max_tokens=500, messages=MESSAGES, thinking={"type": "adaptive"}
    )
    with anthropic_client.messages.stream(
        model=MODEL, max_tokens=500, messages=MESSAGES, thinking={"type": "adaptive"}
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == text_of(plain)
    assert message.usage == plain.usage
    assert [block.to_dict() for block in message.content] == [block.to_dict() for block in plain.content]


def test_stream_helper_parses(anthropic_client: anthropic.Anthropic) -> None:
    with anthropic_client.messages.stream(
        model=MODEL, max_tokens=500, messages=MESSAGES, output_format=Review
    ) as stream:
        message = stream.get_final_message()
    assert isinstance(message.parsed_output, Review)


def test_stream_helper_collects_a_tool_call(anthropic_client: anthropic.Anthropic) -> None:
    with anthropic_client.messages.stream(
        model=MODEL, max_tokens=500, messages=MESSAGES, tools=[TOOL], tool_choice={"type": "any"}
    ) as stream:
        message = stream.get_final_message()
    (block,) = message.content
    assert block.type == "tool_use"
    assert block.input == {"days_late": 30}


def test_unprefixed_base_url_works(simulator: Simulator) -> None:
    base_url = simulator.anthropic_base_url.replace("/anthropic", "")
    with anthropic.Anthropic(base_url=base_url, api_key="sk-ant-simulated") as client:
        assert client.messages.create(model=MODEL, max_tokens=50, messages=MESSAGES).content
        assert MODEL in [model.id for model in client.models.list()]


@pytest.mark.anyio
async def test_async_create_stream_and_count(async_anthropic_client: anthropic.AsyncAnthropic) -> None:
    plain = await async_anthropic_client.messages.create(model=MODEL, max_tokens=500, messages=MESSAGES)
    async with async_anthropic_client.messages.stream(model=MODEL, max_tokens=500, messages=MESSAGES) as stream:
        streamed = await stream.get_final_message()
    assert streamed.usage == plain.usage
    assert text_of(streamed) == text_of(plain)
    counted = await async_anthropic_client.messages.count_tokens(model=MODEL, messages=MESSAGES)
    assert counted.input_tokens == plain.usage.input_tokens
