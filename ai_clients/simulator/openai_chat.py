"""`POST chat/completions`: plain and streamed chat completions of OpenAI."""

import time
from collections.abc import Iterator
from typing import Literal
from zlib import crc32

from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.chat.chat_completion_chunk import (
    ChoiceDelta,
    ChoiceDeltaToolCall,
    ChoiceDeltaToolCallFunction,
)
from openai.types.chat.chat_completion_message_function_tool_call import (
    ChatCompletionMessageFunctionToolCall,
    Function,
)
from openai.types.completion_usage import CompletionTokensDetails, CompletionUsage, PromptTokensDetails

from ai_clients.simulator import ids, tokens, wire
from ai_clients.simulator.answers import Answer, JsonObject, Plain, Streamed
from ai_clients.simulator.composing import ANY_OBJECT, Composition, Tool, compose, forced_tool
from ai_clients.simulator.errors import openai_stream_error
from ai_clients.simulator.prompts import Prompt, read_openai_chat
from ai_clients.simulator.requests import (
    mapping,
    mappings,
    openai_required,
    openai_service_tier,
    positive_integer,
)
from ai_clients.simulator.sentences import slices

_DONE = b"data: [DONE]\n\n"
_MOST_CHOICES = 128


def answer(body: JsonObject) -> Answer:
    """Answer one request; usage by the rule in `tokens.py`, over all `n` choices."""
    model: str = openai_required(body, "model", str)
    openai_required(body, "messages", list)
    prompt = read_openai_chat(body)
    limit = positive_integer(body, "max_completion_tokens", "max_tokens")
    reasoning = tokens.reasoning_tokens(model, prompt.tokens, effort=body.get("reasoning_effort"), limit=limit)

    seed, schema, tool = prompt.seed(model), _schema(body), _tool(body)
    quota = None if limit is None else limit - reasoning
    compositions = [
        compose(prompt, seed=seed + place, limit=quota, schema=schema, tool=tool)
        for place in range(min(positive_integer(body, "n") or 1, _MOST_CHOICES))
    ]
    usage = _usage(body, prompt, compositions, reasoning * len(compositions))
    if body.get("stream"):
        return Streamed(list(_events(body, model, compositions, usage)), openai_stream_error)
    return Plain(wire.body(_completion(body, model, compositions, usage)))


def _completion(
    body: JsonObject, model: str, compositions: list[Composition], usage: CompletionUsage
) -> ChatCompletion:
    return ChatCompletion(
        id=ids.chat_completion(),
        object="chat.completion",
        created=int(time.time()),
        model=model,
        choices=[
            Choice(
                index=place,
                message=_message(composition),
                logprobs=None,
                finish_reason=_finish_reason(body, composition),
            )
            for place, composition in enumerate(compositions)
        ],
        usage=usage,
        service_tier=openai_service_tier(body),
        system_fingerprint=_fingerprint(model),
    )


def _message(composition: Composition) -> ChatCompletionMessage:
    call = composition.tool_call
    if call is None:
        return ChatCompletionMessage(role="assistant", content=composition.text, refusal=None, annotations=[])
    return ChatCompletionMessage(
        role="assistant",
        content=None,
        refusal=None,
        annotations=[],
        tool_calls=[
            ChatCompletionMessageFunctionToolCall(
                id=ids.openai_tool_call(),
                type="function",
                function=Function(name=call.name, arguments=tokens.compact_json(call.arguments)),
            )
        ],
    )


def _events(body: JsonObject, model: str, compositions: list[Composition], usage: CompletionUsage) -> Iterator[bytes]:
    chunk = _chunk_template(body, model)
    for place, composition in enumerate(compositions):
        finish_reason = _finish_reason(body, composition)
        for delta in _deltas(composition):
            choice = ChunkChoice(index=place, delta=delta, logprobs=None, finish_reason=None)
            yield wire.data_event(chunk.model_copy(update={"choices": [choice]}))
        last = ChunkChoice(index=place, delta=ChoiceDelta(), logprobs=None, finish_reason=finish_reason)
        yield wire.data_event(chunk.model_copy(update={"choices": [last]}))
    if _includes_usage(body):
        yield wire.data_event(chunk.model_copy(update={"usage": usage}))
    yield _DONE


def _chunk_template(body: JsonObject, model: str) -> ChatCompletionChunk:
    chunk = ChatCompletionChunk(
        id=ids.chat_completion(),
        object="chat.completion.chunk",
        created=int(time.time()),
        model=model,
        service_tier=openai_service_tier(body),
        system_fingerprint=_fingerprint(model),
        choices=[],
    )
    if _includes_usage(body):
        # Set, so that `"usage": null` stands on each chunk; unset, the key is absent, as with OpenAI.
        chunk.usage = None
    return chunk


def _deltas(composition: Composition) -> Iterator[ChoiceDelta]:
    call = composition.tool_call
    if call is None:
        yield ChoiceDelta(role="assistant", content="", refusal=None)
        for part in slices(composition.text):
            yield ChoiceDelta(content=part)
        return
    opening = ChoiceDeltaToolCall(
        index=0,
        id=ids.openai_tool_call(),
        type="function",
        function=ChoiceDeltaToolCallFunction(name=call.name, arguments=""),
    )
    yield ChoiceDelta(role="assistant", content=None, refusal=None, tool_calls=[opening])
    for part in slices(tokens.compact_json(call.arguments)):
        function = ChoiceDeltaToolCallFunction(arguments=part)
        yield ChoiceDelta(tool_calls=[ChoiceDeltaToolCall(index=0, function=function)])


def _usage(body: JsonObject, prompt: Prompt, compositions: list[Composition], reasoning: int) -> CompletionUsage:
    completion_tokens = sum(composition.tokens for composition in compositions) + reasoning
    cached = tokens.openai_cached_tokens(prompt.tokens, prompt_cache_key=body.get("prompt_cache_key"))
    return CompletionUsage(
        prompt_tokens=prompt.tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt.tokens + completion_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached, cache_write_tokens=0, audio_tokens=0),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=reasoning,
            audio_tokens=0,
            accepted_prediction_tokens=0,
            rejected_prediction_tokens=0,
        ),
    )


def _finish_reason(body: JsonObject, composition: Composition) -> Literal["stop", "length", "tool_calls"]:
    if composition.tool_call is not None:
        # "Function calling" in the OpenAI guide: a call forced by name ends with "stop".
        return "stop" if isinstance(body.get("tool_choice"), dict) else "tool_calls"
    return "length" if composition.is_cut else "stop"


def _includes_usage(body: JsonObject) -> bool:
    return mapping(body, "stream_options").get("include_usage") is True


def _schema(body: JsonObject) -> JsonObject | None:
    wanted = mapping(body, "response_format")
    if wanted.get("type") == "json_schema":
        return mapping(mapping(wanted, "json_schema"), "schema")
    return ANY_OBJECT if wanted.get("type") == "json_object" else None


def _tool(body: JsonObject) -> Tool | None:
    functions = [mapping(tool, "function") for tool in mappings(body, "tools") if tool.get("type") == "function"]
    tools = [Tool(str(function.get("name")), mapping(function, "parameters")) for function in functions]
    choice = body.get("tool_choice")
    name = mapping(choice, "function").get("name") if isinstance(choice, dict) else None
    return forced_tool(tools, name=name, is_any=choice == "required")


def _fingerprint(model: str) -> str:
    return f"fp_{crc32(model.encode()):010x}"
