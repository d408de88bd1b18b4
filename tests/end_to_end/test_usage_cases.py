"""Usage in answers that is not plain tokens: from the wire to the exact cost of the record.

The page that gives the rule stands beside each case. Amounts are millionths of a dollar.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from anthropic import APIStatusError
from anthropic.types.beta import BetaMessage
from django.core.management import call_command

from ai_clients import Anthropic, OpenAI
from tests.support import wire_cases
from tests.support.scripted import Provider, plain, streamed
from usage_billing.models import UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("explained_costs")]

Drained = Callable[[], int]
PROMPT: Any = [{"role": "user", "content": "Hello"}]
SONNET, FABLE, OPUS = "claude-sonnet-5-5", "claude-fable-5", "claude-opus-4-8"
TEXT: dict[str, Any] = {"type": "text", "text": 'He said "fallback" and {"stop_reason": "refusal"}'}


def message(model: str, usage: dict[str, Any], content: list[Any], reason: str, details: Any = None) -> dict[str, Any]:
    whole = BetaMessage.model_validate(
        {
            "id": wire_cases.an_id("msg_01"),
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "stop_details": details,
            "usage": usage,
        }
    )
    return whole.model_dump(mode="json", exclude_unset=True, by_alias=True)


def message_events(whole: dict[str, Any]) -> bytes:
    """The same message as a stream (Anthropic, Streaming messages): usage in its start and in its delta."""
    usage = {name: value for name, value in whole["usage"].items() if name != "iterations"}
    start = {**whole, "content": [], "stop_reason": None, "stop_details": None, "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(whole["content"]):
        events += [
            {"type": "content_block_start", "index": index, "content_block": block},
            {"type": "content_block_stop", "index": index},
        ]
    delta = {name: whole[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    events += [{"type": "message_delta", "delta": delta, "usage": whole["usage"]}, {"type": "message_stop"}]
    return wire_cases.sse(*events, named=True)


def sent(whole: dict[str, Any], way: str, *, beta: bool = False) -> None:
    """Send a request whose answer is this message: plain, streamed, or as a line of a batch's results."""
    if way == "batched":
        line = {"custom_id": "request-1", "result": {"type": "succeeded", "message": whole}}
        content = json.dumps(line).encode() + b"\n"
        client = anthropic_of(lambda _: httpx2.Response(200, content=content))
        client._client.get("https://api.anthropic.com/v1/messages/batches/msgbatch_1/results")
        return
    answer = streamed(message_events(whole)) if way == "streamed" else plain(whole)
    client = anthropic_of(lambda _: answer)
    messages: Any = client.beta.messages if beta else client.messages
    made = messages.create(model="claude-asked", max_tokens=100, messages=PROMPT, stream=way == "streamed")
    if way == "streamed":
        for _ in made:
            pass


def anthropic_of(handler: Callable[[httpx2.Request], httpx2.Response]) -> Anthropic:
    return Anthropic(api_key="k", max_retries=0, http_client=httpx2.Client(transport=Provider(handler)))


def openai_of(handler: Callable[[httpx2.Request], httpx2.Response]) -> OpenAI:
    return OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=Provider(handler)))


def cost_of(drained: Drained) -> Decimal | None:
    """The cost of the only record in millionths of a dollar; repricing from the stored row keeps it."""
    assert drained() == 1
    record = UsageRecord.objects.get()
    day = str(record.usage_date)
    call_command("reprice_usage", "--from", day, "--to", day, "--reason", "test")
    assert UsageRecord.objects.get().cost_usd == record.cost_usd
    return None if record.cost_usd is None else record.cost_usd * 1_000_000


# ── Refusals: Anthropic, Refusals and fallback (How refusals are billed) ──

WAYS = ["plain", "streamed", "batched"]
REFUSED = {"input_tokens": 10_000, "output_tokens": 1}


def details(category: str | None) -> dict[str, Any]:
    return {"type": "refusal", "category": category, "explanation": "This request was declined."}


@pytest.mark.parametrize("beta", [False, True], ids=["", "beta"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("category", "billed"),
    [
        ("cyber", False),
        ("general_harms", False),
        (None, False),
        ("bio", True),
        ("frontier_llm", True),
        ("reasoning_extraction", True),
    ],
)
def test_refusal_before_any_output_is_billed_in_three_categories(
    category: str | None, billed: bool, way: str, beta: bool, drained: Drained
) -> None:
    """10,000 × 2 + 1 × 10; a batch costs half. The record has the tokens and the category, not the explanation."""
    sent(message(SONNET, REFUSED, [], "refusal", details(category)), way, beta=beta)
    full = 10_005 if way == "batched" else 20_010
    assert cost_of(drained) == (full if billed else 0)
    record = UsageRecord.objects.get()
    assert (record.status, record.prompt_tokens, record.completion_tokens) == ("succeeded", 10_000, 1)
    assert record.response_metadata["refusal"] == (category or "unnamed")
    assert record.price_source.startswith("genai-prices") if billed else record.price_source == "not-charged:refusal"
    assert "declined." not in json.dumps(record.response_metadata)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("category", ["cyber", "bio"])
def test_refusal_in_the_middle_of_the_output_is_billed(category: str, way: str, drained: Drained) -> None:
    """“A mid-stream refusal bills the input tokens and the output already streamed”: 1000 × 2 + 50 × 10."""
    usage = {"input_tokens": 1000, "output_tokens": 50}
    sent(message(SONNET, usage, [TEXT], "refusal", details(category)), way)
    assert cost_of(drained) == (1250 if way == "batched" else 2500)
    assert UsageRecord.objects.get().response_metadata["refusal"] == category


@pytest.mark.parametrize("way", ["plain", "streamed"])
def test_refusal_of_a_model_without_stop_details_is_not_billed(way: str, drained: Drained) -> None:
    sent(message(SONNET, REFUSED, [], "refusal"), way)
    assert cost_of(drained) == 0
    assert UsageRecord.objects.get().response_metadata["refusal"] == "unnamed"


# ── Fallback: Anthropic, Refusals and fallback (Server-side fallback: Billing and rate limits) ──


def turn(model: str, prompt: int, completion: int, kind: str = "message") -> dict[str, Any]:
    cache = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"type": kind, "model": model, "input_tokens": prompt, "output_tokens": completion, **cache}


def fallback(category: str | None, model: str = FABLE, to: str = OPUS) -> dict[str, Any]:
    return {
        "type": "fallback",
        "from": {"model": model},
        "to": {"model": to},
        "trigger": {"type": "refusal", "category": category},
    }


def turned(*turns: dict[str, Any]) -> dict[str, Any]:
    """Usage with iterations: the top level is that of the last one."""
    return {name: value for name, value in turns[-1].items() if name not in ("type", "model")} | {
        "iterations": [*turns]
    }


SERVED = turn(OPUS, 412, 264, "fallback_message")
"""412 × 5 + 264 × 25 = 8660"""

FALLBACKS: dict[str, tuple[dict[str, Any], int]] = {
    "declined in an unbilled category": (
        message(OPUS, turned(turn(FABLE, 535, 0), SERVED), [fallback("cyber"), TEXT], "end_turn"),
        8660,
    ),
    "declined without a category": (
        message(OPUS, turned(turn(FABLE, 535, 0), SERVED), [fallback(None), TEXT], "end_turn"),
        8660,
    ),
    # + 535 × 10
    "declined in a billed category": (
        message(OPUS, turned(turn(FABLE, 535, 0), SERVED), [fallback("bio"), TEXT], "end_turn"),
        14_010,
    ),
    # Two hops, the first unbilled, the second billed: + 500 × 2
    "two declined": (
        message(
            OPUS,
            turned(turn(FABLE, 535, 0), turn(SONNET, 500, 0), SERVED),
            [fallback("cyber", FABLE, SONNET), fallback("frontier_llm", SONNET, OPUS), TEXT],
            "end_turn",
        ),
        9660,
    ),
    # All declined: the last turn's category is that of the answer: 535 × 10 unbilled, 412 × 5 + 1 × 25 billed
    "all declined": (
        message(
            OPUS,
            turned(turn(FABLE, 535, 0), turn(OPUS, 412, 1, "fallback_message")),
            [fallback("cyber")],
            "refusal",
            details("bio"),
        ),
        2085,
    ),
    "all declined, none billed": (
        message(
            OPUS,
            turned(turn(FABLE, 535, 0), turn(OPUS, 412, 1, "fallback_message")),
            [fallback("cyber")],
            "refusal",
            details("cyber"),
        ),
        0,
    ),
    # The conversation stays with the fallback model: no model declined this turn
    "sticky routing": (message(OPUS, turned(SERVED), [TEXT], "end_turn"), 8660),
    # An attempt that had output is billed in any category: + 535 × 10 + 40 × 50
    "declined after output": (
        message(OPUS, turned(turn(FABLE, 535, 40), SERVED), [TEXT, fallback("cyber"), TEXT], "end_turn"),
        16_010,
    ),
    # A compaction turn is no hop: + 1000 × 5
    "compacted in between": (
        message(
            OPUS,
            turned(turn(FABLE, 535, 0), {**turn(OPUS, 1000, 0, "compaction")}, SERVED),
            [fallback("cyber"), TEXT],
            "end_turn",
        ),
        13_660,
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("whole", "millionths"), FALLBACKS.values(), ids=FALLBACKS.keys())
def test_each_turn_of_a_fallback_is_billed_by_its_own_rule(
    whole: dict[str, Any], millionths: int, way: str, drained: Drained
) -> None:
    sent({**whole, "id": wire_cases.an_id("msg_01")}, way, beta=True)
    assert cost_of(drained) == (Decimal(millionths) / 2 if way == "batched" else millionths)


@pytest.mark.parametrize("way", ["plain", "streamed"])
def test_fallback_whose_category_is_not_told_costs_an_unknown_amount(way: str, drained: Drained) -> None:
    block = {name: value for name, value in fallback("cyber").items() if name != "trigger"}
    whole = message(OPUS, turned(turn(FABLE, 535, 0), SERVED), [TEXT], "end_turn")
    sent({**whole, "content": [block, TEXT]}, way, beta=True)
    assert cost_of(drained) is None
    assert UsageRecord.objects.get().price_source == "unpriced:unknown-refusal"


# ── Zero is a number ──


@pytest.mark.parametrize("way", WAYS)
def test_cache_warming_costs_what_was_written(way: str, drained: Drained) -> None:
    """Anthropic, Prompt caching (`max_tokens: 0`): 10,000 × 2.50, and no input or output."""
    writes = {"ephemeral_5m_input_tokens": 10_000, "ephemeral_1h_input_tokens": 0}
    usage = {
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_creation_input_tokens": 10_000,
        "cache_read_input_tokens": 0,
        "cache_creation": writes,
    }
    sent(message(SONNET, usage, [], "max_tokens"), way)
    assert cost_of(drained) == (12_500 if way == "batched" else 25_000)
    record = UsageRecord.objects.get()
    assert (record.prompt_tokens, record.cache_write_tokens) == (10_000, 10_000)


@pytest.mark.parametrize(
    ("answer", "model"),
    [
        ({"text": "", "usage": {"type": "duration", "seconds": 0}}, "whisper-1"),
        ({"text": "", "usage": {"seconds": 0.0}}, "whisper-1"),
        ({"text": "", "duration": 0.0, "language": "en", "segments": []}, "whisper-1"),
        (
            {"text": "", "usage": {"type": "tokens", "input_tokens": 0, "output_tokens": 0, "total_tokens": 0}},
            "gpt-4o-mini-transcribe",
        ),
    ],
    ids=["seconds", "seconds alone", "verbose", "tokens"],
)
def test_transcription_of_no_audio_is_free(answer: dict[str, Any], model: str, drained: Drained) -> None:
    """OpenAI, Transcription object: `usage.seconds`."""
    openai_of(lambda _: plain(answer)).audio.transcriptions.create(model=model, file=("a.mp3", b"ID3"))
    assert cost_of(drained) == 0
    assert UsageRecord.objects.get().price_source.startswith("genai-prices")


def test_embedding_of_no_tokens_is_free(drained: Drained) -> None:
    body = wire_cases.embeddings("text-embedding-3-small", 0)
    openai_of(lambda _: plain(body)).embeddings.create(model="m", input="")
    assert cost_of(drained) == 0


ALL_ZERO = {
    "chat": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    "responses": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
    "messages": {"input_tokens": 0, "output_tokens": 0},
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("api", ALL_ZERO)
def test_zeros_beside_an_answer_are_unknown_usage(api: str, stream: bool, drained: Drained) -> None:
    usage = ALL_ZERO[api]
    if api == "messages":
        sent(message(SONNET, usage, [TEXT], "end_turn"), "streamed" if stream else "plain")
    elif api == "chat":
        body = wire_cases.chat("gpt-4.1-mini", usage)
        answer = streamed(wire_cases.chat_stream(body)) if stream else plain(body)
        made: Any = openai_of(lambda _: answer).chat.completions.create(model="m", messages=PROMPT, stream=stream)
        list(made) if stream else None
    else:
        body = wire_cases.response("gpt-5-mini", usage)
        answer = streamed(wire_cases.response_stream(body)) if stream else plain(body)
        made = openai_of(lambda _: answer).responses.create(model="m", input="Hello", stream=stream)
        list(made) if stream else None
    assert cost_of(drained) is None
    assert UsageRecord.objects.get().price_source == "unpriced:no-usage"


def test_failed_response_of_no_tokens_is_free(drained: Drained) -> None:
    usage = {**ALL_ZERO["responses"], "output_tokens_details": {"reasoning_tokens": 0}}
    body = wire_cases.response("gpt-5-mini", usage, status="failed", error={"code": "server_error", "message": "m"})
    openai_of(lambda _: plain(body)).responses.create(model="m", input="Hello")
    assert cost_of(drained) == 0
    assert UsageRecord.objects.get().price_source == "not-charged:failed"


# ── Tools ──


def drawn(**fields: Any) -> dict[str, Any]:
    image = {
        "input_tokens": 1000,
        "input_tokens_details": {"text_tokens": 200, "image_tokens": 800},
        "output_tokens": 1000,
        "total_tokens": 2000,
        **fields,
    }
    return wire_cases.response(
        "gpt-6.1-terra",
        {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100},
        tools=[{"type": "image_generation", "model": "gpt-image-2"}],
        tool_usage=wire_cases.tool_usage(image=image),
    )


CACHED_IMAGES: dict[str, tuple[dict[str, Any], int | None]] = {
    # 1000 × 1 + 100 × 5 + 100 × 5 + 100 × 1.25 + 200 × 8 + 600 × 2 + 1000 × 30
    "of both kinds": (
        {"cached_tokens": 700, "cached_tokens_details": {"cached_text_tokens": 100, "cached_image_tokens": 600}},
        34_925,
    ),
    # An omitted count: 1500 + 200 × 5 + 800 × 8 + 30,000
    "not told": ({}, 38_900),
    "none": (
        {"cached_tokens": 0, "cached_tokens_details": {"cached_text_tokens": 0, "cached_image_tokens": 0}},
        38_900,
    ),
    "of either kind": ({"cached_tokens": 700}, None),
    # 1500 + 100 × 5 + 900 × 1.25 + 30,000
    "of text alone": (
        {"cached_tokens": 900, "input_tokens_details": {"text_tokens": 1000, "image_tokens": 0}},
        33_125,
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(("fields", "millionths"), CACHED_IMAGES.values(), ids=CACHED_IMAGES.keys())
def test_cached_tokens_of_an_image_tool(
    fields: dict[str, Any], millionths: int | None, stream: bool, drained: Drained
) -> None:
    """OpenAI, Response object: `tool_usage.image_gen.cached_tokens` and its details."""
    body = drawn(**fields)
    answer = streamed(wire_cases.response_stream(body)) if stream else plain(body)
    made: Any = openai_of(lambda _: answer).responses.create(model="m", input="Draw", stream=stream)
    list(made) if stream else None
    assert cost_of(drained) == millionths
    assert UsageRecord.objects.get().cached_tokens == fields.get("cached_tokens", 0) * (millionths is not None)


def test_decision_costs_its_input_alone(drained: Drained) -> None:
    """OpenAI guide, Decisions: 5000 × 0.10, cached or not; output is free."""
    usage = {
        "input_tokens": 5000,
        "input_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 0},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 5010,
    }
    body = {"model": "gpt-6-luna", "answers": [], "usage": usage}
    openai_of(lambda _: plain(body)).post("/decisions", body={"model": "gpt-6-luna"}, cast_to=object)
    assert cost_of(drained) == 500
    record = UsageRecord.objects.get()
    assert (record.endpoint, record.prompt_tokens, record.completion_tokens) == ("/v1/decisions", 5000, 10)


# ── Merged streams: Anthropic, Streaming messages ──

MERGED: dict[str, tuple[dict[str, Any], list[dict[str, Any]], Decimal | str]] = {
    # 15 × 3 + 42 × 15
    "zero input in the delta": (
        {"input_tokens": 15, "output_tokens": 1},
        [{"input_tokens": 0, "output_tokens": 42}],
        Decimal(675),
    ),
    # 317 × 3 + 4425 × 0.30 + 20 × 15
    "written restated as read": (
        {
            "input_tokens": 317,
            "cache_creation_input_tokens": 4425,
            "cache_creation": {"ephemeral_5m_input_tokens": 4425},
            "output_tokens": 1,
        },
        [
            {
                "input_tokens": 317,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 4425,
                "output_tokens": 20,
            }
        ],
        Decimal("2578.5"),
    ),
    # 15 × 3 + 42 × 15
    "several deltas": (
        {"input_tokens": 15, "output_tokens": 1},
        [{"output_tokens": 40}, {"input_tokens": None, "output_tokens": 42}, {"output_tokens": 0}],
        Decimal(675),
    ),
}


@pytest.mark.parametrize(("start", "deltas", "millionths"), MERGED.values(), ids=MERGED.keys())
def test_usage_of_a_stream_is_merged_field_by_field(
    start: dict[str, Any], deltas: list[dict[str, Any]], millionths: Decimal, drained: Drained
) -> None:
    whole = message("claude-sonnet-4-5", {"input_tokens": 1, "output_tokens": 1}, [], "end_turn")
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**whole, "usage": start}},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": TEXT},
        *({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage} for usage in deltas),
        {"type": "message_stop"},
    ]
    client = anthropic_of(lambda _: streamed(wire_cases.sse(*events, named=True)))
    for _ in client.messages.create(model="m", max_tokens=9, messages=PROMPT, stream=True):
        pass
    assert cost_of(drained) == millionths


def test_stream_without_a_start_takes_the_model_of_its_request(drained: Drained) -> None:
    """15 × 2 + 42 × 10"""
    delta = {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 15, "output_tokens": 42}}
    events = wire_cases.sse(delta, {"type": "message_stop"}, named=True)
    client = anthropic_of(lambda _: streamed(events))
    for _ in client.messages.create(model=SONNET, max_tokens=9, messages=PROMPT, stream=True):
        pass
    assert cost_of(drained) == 450


def test_stream_that_ends_in_an_error_costs_an_unknown_amount(drained: Drained) -> None:
    whole = message("claude-sonnet-4-5", {"input_tokens": 15, "output_tokens": 1}, [], "end_turn")
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    events = wire_cases.sse({"type": "message_start", "message": whole}, {"type": "ping"}, error, named=True)
    client = anthropic_of(lambda _: streamed(events))
    with pytest.raises(APIStatusError):
        for _ in client.messages.create(model="m", max_tokens=9, messages=PROMPT, stream=True):
            pass
    assert cost_of(drained) is None
    record = UsageRecord.objects.get()
    assert (record.status, record.error_code, record.prompt_tokens) == ("aborted", "overloaded_error", 15)


# ── Containers on the wire: OpenAI guides, Code interpreter and Shell ──


def test_shell_container_that_the_request_makes_is_charged(drained: Drained) -> None:
    """450 + 120,000: the answer echoes a reference, the request says `container_auto` with 4 GB."""
    place = {"type": "container_reference", "container_id": "cntr_1"}
    call = {"id": "sh_1", "type": "shell_call", "call_id": "c", "status": "completed", "environment": place}
    body = wire_cases.response(
        "gpt-5-mini",
        {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100},
        [{**call, "action": {"commands": ["ls"], "timeout_ms": None, "max_output_length": None}}],
        tools=[{"type": "shell", "environment": place}],
    )
    tools: Any = [{"type": "shell", "environment": {"type": "container_auto", "memory_limit": "4g"}}]
    openai_of(lambda _: plain(body)).responses.create(model="m", input="Hello", tools=tools)
    assert cost_of(drained) == 120_450


def test_container_is_charged_once_between_its_creation_and_its_calls(drained: Drained) -> None:
    """0.03 USD for the container, 450 millionths for each of two responses in it."""
    made = {"id": "cntr_1", "object": "container", "created_at": 1, "status": "running", "name": "c"}
    openai_of(lambda _: plain({**made, "memory_limit": "1g"})).containers.create(name="c")
    drained()
    bodies = [
        wire_cases.response(
            "gpt-5-mini",
            {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100},
            [wire_cases.code_call(number, "cntr_1")],
            tools=[{"type": "code_interpreter", "container": "cntr_1"}],
        )
        for number in range(2)
    ]
    client = openai_of(lambda _: plain(bodies.pop()))
    while bodies:
        client.responses.create(model="m", input="Hello")
        drained()
    amounts = UsageRecord.objects.order_by("id").values_list("cost_usd", flat=True)
    assert list(amounts) == [Decimal("0.03"), Decimal("0.00045"), Decimal("0.00045")]
    call_command("check_usage")
