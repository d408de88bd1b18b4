"""Chat completions through the official OpenAI SDK."""

import json
import re
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam, ChatCompletionToolParam

from ai_clients.simulator import Simulator
from ai_clients.simulator.tokens import ATTACHMENT_TOKENS, MESSAGE_TOKENS, compact_json, count
from tests.support.answer_schemas import Review

MODEL = "gpt-4.1-mini"
SYSTEM = "You answer in one paragraph."
QUESTION = "Which invoices of the last quarter are late?"
MESSAGES: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": QUESTION},
]
PROMPT_TOKENS = count(SYSTEM) + count(QUESTION) + 2 * MESSAGE_TOKENS
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "find_invoices",
        "parameters": {"type": "object", "properties": {"days_late": {"type": "integer", "minimum": 30}}},
    },
}


def test_create_reports_usage_by_the_rule(openai_client: openai.OpenAI) -> None:
    completion = openai_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    text = completion.choices[0].message.content
    assert text is not None
    assert "invoices" in text
    assert completion.choices[0].finish_reason == "stop"
    assert (completion.model, completion.service_tier) == (MODEL, "default")
    assert re.fullmatch(r"chatcmpl-[0-9A-Za-z]{29}", completion.id)
    assert completion.usage is not None
    assert completion.usage.to_dict() == {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": count(text),
        "total_tokens": PROMPT_TOKENS + count(text),
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def test_create_sends_explicit_nulls(openai_client: openai.OpenAI) -> None:
    raw = openai_client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
    body = json.loads(raw.content)
    ChatCompletion.model_validate(body, strict=True)
    choice = body["choices"][0]
    assert choice["logprobs"] is None
    assert choice["message"]["refusal"] is None
    assert "tool_calls" not in choice["message"]
    assert re.fullmatch(r"req_[0-9a-f]{32}", raw.headers["x-request-id"])
    assert raw.parse().choices[0].message.content == choice["message"]["content"]


def test_create_twice_differs_only_in_ids(openai_client: openai.OpenAI) -> None:
    first = openai_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    second = openai_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert first.choices[0].message == second.choices[0].message
    assert first.usage == second.usage
    assert first.id != second.id
    assert first._request_id != second._request_id


def test_create_answers_russian_in_russian(openai_client: openai.OpenAI) -> None:
    completion = openai_client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Какие счета просрочены?"}]
    )
    assert "просрочены" in (completion.choices[0].message.content or "")


def test_create_counts_parts_images_tools_and_calls(openai_client: openai.OpenAI) -> None:
    arguments = '{"days_late": 30}'
    messages: list[ChatCompletionMessageParam] = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "find_invoices", "arguments": arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "none"},
    ]
    completion = openai_client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL])
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == (
        3 * MESSAGE_TOKENS
        + count("What is this?")
        + ATTACHMENT_TOKENS
        + count(arguments)
        + count("none")
        + count(compact_json(TOOL))
    )


def test_create_cut_by_the_limit(openai_client: openai.OpenAI) -> None:
    completion = openai_client.chat.completions.create(model=MODEL, messages=MESSAGES, max_completion_tokens=5)
    assert completion.choices[0].finish_reason == "length"
    assert len(completion.choices[0].message.content or "") == 20
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 5


def test_create_reports_reasoning_within_completion_tokens(openai_client: openai.OpenAI) -> None:
    completion = openai_client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES)
    assert completion.usage is not None
    assert completion.usage.completion_tokens_details is not None
    assert completion.usage.completion_tokens_details.reasoning_tokens == 64
    assert completion.usage.completion_tokens == 64 + count(completion.choices[0].message.content or "")


def test_create_reports_cached_tokens_with_a_cache_key(openai_client: openai.OpenAI) -> None:
    text = "word " * 1200
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": text}]
    completion = openai_client.chat.completions.create(model=MODEL, messages=messages, prompt_cache_key="k")
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 1504
    assert completion.usage.prompt_tokens_details is not None
    assert completion.usage.prompt_tokens_details.cached_tokens == 1408
    without_key = openai_client.chat.completions.create(model=MODEL, messages=messages)
    assert without_key.usage is not None
    assert without_key.usage.prompt_tokens_details is not None
    assert without_key.usage.prompt_tokens_details.cached_tokens == 0


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_create_echoes_the_tier_asked_for(openai_client: openai.OpenAI, tier: Any) -> None:
    completion = openai_client.chat.completions.create(model=MODEL, messages=MESSAGES, service_tier=tier)
    assert completion.service_tier == tier


def test_create_writes_n_choices_and_adds_them_up(openai_client: openai.OpenAI) -> None:
    completion = openai_client.chat.completions.create(model=MODEL, messages=MESSAGES, n=3)
    texts = [choice.message.content or "" for choice in completion.choices]
    assert len(set(texts)) == 3
    assert completion.usage is not None
    assert completion.usage.completion_tokens == sum(map(count, texts))


@pytest.mark.parametrize(
    ("choice", "finish_reason"),
    [("required", "tool_calls"), ({"type": "function", "function": {"name": "find_invoices"}}, "stop")],
)
def test_create_calls_the_forced_tool(openai_client: openai.OpenAI, choice: Any, finish_reason: str) -> None:
    completion = openai_client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=[TOOL], tool_choice=choice)
    assert completion.choices[0].finish_reason == finish_reason
    message = completion.choices[0].message
    assert message.content is None
    assert message.tool_calls is not None
    call = message.tool_calls[0]
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("find_invoices", '{"days_late":30}')
    assert completion.usage is not None
    assert completion.usage.completion_tokens == count("find_invoices") + count('{"days_late":30}')


def test_parse_returns_the_model_asked_for(openai_client: openai.OpenAI) -> None:
    completion = openai_client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Review)
    assert isinstance(completion.choices[0].message.parsed, Review)


def test_create_in_json_mode_answers_an_object(openai_client: openai.OpenAI) -> None:
    completion = openai_client.chat.completions.create(
        model=MODEL, messages=MESSAGES, response_format={"type": "json_object"}
    )
    assert set(json.loads(completion.choices[0].message.content or "")) == {"answer"}


def test_stream_without_usage_has_no_usage_key(openai_client: openai.OpenAI) -> None:
    plain = openai_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    chunks = list(openai_client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert len(chunks) > 4
    assert chunks[0].choices[0].delta.to_dict() == {"role": "assistant", "content": "", "refusal": None}
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == plain.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert not any("usage" in chunk.model_fields_set for chunk in chunks)


def test_stream_with_usage_ends_with_it(openai_client: openai.OpenAI) -> None:
    plain = openai_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    chunks = list(
        openai_client.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    assert chunks[-1].usage == plain.usage


def test_stream_on_the_wire(openai_client: openai.OpenAI) -> None:
    with openai_client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=MESSAGES, stream=True
    ) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        events = response.read().split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    assert all(event.startswith(b'data: {"id":"chatcmpl-') for event in events[:-2])


def test_stream_helper_collects_text_and_usage(openai_client: openai.OpenAI) -> None:
    with openai_client.chat.completions.stream(
        model=MODEL, messages=MESSAGES, stream_options={"include_usage": True}
    ) as stream:
        completion = stream.get_final_completion()
    plain = openai_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert completion.choices[0].message.content == plain.choices[0].message.content
    assert completion.usage == plain.usage


def test_stream_helper_parses(openai_client: openai.OpenAI) -> None:
    with openai_client.chat.completions.stream(model=MODEL, messages=MESSAGES, response_format=Review) as stream:
        completion = stream.get_final_completion()
    assert isinstance(completion.choices[0].message.parsed, Review)


def test_stream_helper_collects_a_tool_call(openai_client: openai.OpenAI) -> None:
    with openai_client.chat.completions.stream(
        model=MODEL, messages=MESSAGES, tools=[TOOL], tool_choice="required"
    ) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.choices[0].message.tool_calls is not None
    assert completion.choices[0].message.tool_calls[0].function.arguments == '{"days_late":30}'


def test_unprefixed_base_url_works(simulator: Simulator) -> None:
    base_url = simulator.openai_base_url.replace("/openai/v1", "/v1")
    with openai.OpenAI(base_url=base_url, api_key="sk-simulated") as client:
        assert client.chat.completions.create(model=MODEL, messages=MESSAGES).usage is not None
        assert MODEL in [model.id for model in client.models.list()]


@pytest.mark.anyio
async def test_async_create_and_stream(async_openai_client: openai.AsyncOpenAI) -> None:
    plain = await async_openai_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    stream = await async_openai_client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == plain.choices[0].message.content
    assert chunks[-1].usage == plain.usage
