"""Responses through the official OpenAI SDK."""

import json
import re
from itertools import groupby

import openai
import pytest
from openai.types.responses import FunctionToolParam, Response, ResponseFunctionToolCall

from ai_clients.simulator.tokens import MESSAGE_TOKENS, count
from tests.support.answer_schemas import Review

MODEL = "gpt-4.1-mini"
INSTRUCTIONS = "You answer in one paragraph."
QUESTION = "Which invoices of the last quarter are late?"
TOOL: FunctionToolParam = {
    "type": "function",
    "name": "find_invoices",
    "parameters": {"type": "object", "properties": {"days_late": {"type": "integer", "minimum": 30}}},
    "strict": False,
}


def test_create_reports_usage_by_the_rule(openai_client: openai.OpenAI) -> None:
    response = openai_client.responses.create(model=MODEL, instructions=INSTRUCTIONS, input=QUESTION)
    assert "invoices" in response.output_text
    assert (response.status, response.model, response.service_tier) == ("completed", MODEL, "default")
    assert re.fullmatch(r"resp_[0-9a-f]{48}", response.id)
    input_tokens = count(INSTRUCTIONS) + count(QUESTION) + MESSAGE_TOKENS
    assert response.usage is not None
    assert response.usage.to_dict() == {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": count(response.output_text),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input_tokens + count(response.output_text),
    }


def test_create_sends_a_body_true_to_the_wire(openai_client: openai.OpenAI) -> None:
    raw = openai_client.responses.with_raw_response.create(model=MODEL, input=QUESTION, tools=[TOOL])
    body = json.loads(raw.content)
    Response.model_validate(body)
    assert body["error"] is None
    assert body["incomplete_details"] is None
    assert body["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    assert body["tools"] == [TOOL]
    assert body["store"] is True
    assert isinstance(body["created_at"], int)
    assert isinstance(body["completed_at"], int)


def test_create_counts_each_input_item(openai_client: openai.OpenAI) -> None:
    response = openai_client.responses.create(
        model=MODEL,
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "What is late?"}]},
            {"type": "function_call", "call_id": "call_1", "name": "find", "arguments": '{"a": 1}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "nothing"},
        ],
    )
    assert response.usage is not None
    assert response.usage.input_tokens == (
        3 * MESSAGE_TOKENS + count("What is late?") + count('{"a": 1}') + count("nothing")
    )


def test_create_twice_differs_only_in_ids(openai_client: openai.OpenAI) -> None:
    first = openai_client.responses.create(model=MODEL, input=QUESTION)
    second = openai_client.responses.create(model=MODEL, input=QUESTION)
    assert first.output_text == second.output_text
    assert first.usage == second.usage
    assert first.id != second.id
    assert first._request_id != second._request_id


def test_create_cut_by_the_limit_is_incomplete(openai_client: openai.OpenAI) -> None:
    response = openai_client.responses.create(model=MODEL, input=QUESTION, max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage is not None
    assert response.usage.output_tokens == 16
    assert len(response.output_text) == 64


def test_create_reasons_before_it_answers(openai_client: openai.OpenAI) -> None:
    response = openai_client.responses.create(model="gpt-5", input=QUESTION)
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens == 64
    assert response.usage.output_tokens == 64 + count(response.output_text)


def test_create_calls_the_forced_tool(openai_client: openai.OpenAI) -> None:
    response = openai_client.responses.create(
        model=MODEL,
        input=QUESTION,
        tools=[TOOL],
        tool_choice={"type": "function", "name": "find_invoices"},
    )
    (call,) = response.output
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.name, call.arguments) == ("find_invoices", '{"days_late":30}')


def test_parse_returns_the_model_asked_for(openai_client: openai.OpenAI) -> None:
    response = openai_client.responses.parse(model=MODEL, input=QUESTION, text_format=Review)
    assert isinstance(response.output_parsed, Review)


def test_retrieve_finds_what_was_stored(openai_client: openai.OpenAI) -> None:
    created = openai_client.responses.create(model=MODEL, input=QUESTION)
    assert openai_client.responses.retrieve(created.id).to_dict() == created.to_dict()


def test_retrieve_does_not_find_what_was_not_stored(openai_client: openai.OpenAI) -> None:
    created = openai_client.responses.create(model=MODEL, input=QUESTION, store=False)
    with pytest.raises(openai.NotFoundError, match=created.id):
        openai_client.responses.retrieve(created.id)


def test_stream_sends_the_events_in_order(openai_client: openai.OpenAI) -> None:
    plain = openai_client.responses.create(model=MODEL, input=QUESTION)
    events = list(openai_client.responses.create(model=MODEL, input=QUESTION, stream=True))
    assert [kind for kind, _ in groupby(event.type for event in events)] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 2
    assert "".join(deltas) == plain.output_text
    first, last = events[0], events[-1]
    assert first.type == "response.created"
    assert (first.response.status, first.response.usage, first.response.output) == ("in_progress", None, [])
    assert last.type == "response.completed"
    assert last.response.usage == plain.usage
    assert last.response.output_text == plain.output_text


def test_stream_cut_by_the_limit_is_incomplete(openai_client: openai.OpenAI) -> None:
    events = list(openai_client.responses.create(model=MODEL, input=QUESTION, stream=True, max_output_tokens=16))
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.status == "incomplete"
    assert last.response.usage is not None
    assert last.response.usage.output_tokens == 16


def test_stream_helper_reasons_and_parses(openai_client: openai.OpenAI) -> None:
    with openai_client.responses.stream(model="gpt-5", input=QUESTION, text_format=Review) as stream:
        response = stream.get_final_response()
    assert isinstance(response.output_parsed, Review)
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens == 64


def test_stream_helper_collects_a_tool_call(openai_client: openai.OpenAI) -> None:
    with openai_client.responses.stream(model=MODEL, input=QUESTION, tools=[TOOL], tool_choice="required") as stream:
        response = stream.get_final_response()
    assert [item.type for item in response.output] == ["function_call"]


@pytest.mark.anyio
async def test_async_create_stream_and_retrieve(async_openai_client: openai.AsyncOpenAI) -> None:
    plain = await async_openai_client.responses.create(model=MODEL, input=QUESTION)
    assert (await async_openai_client.responses.retrieve(plain.id)).output_text == plain.output_text
    async with async_openai_client.responses.stream(model=MODEL, input=QUESTION) as stream:
        streamed = await stream.get_final_response()
    assert streamed.usage == plain.usage
    assert streamed.output_text == plain.output_text
