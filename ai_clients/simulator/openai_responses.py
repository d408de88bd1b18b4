"""`POST responses` and `GET responses/{id}`: responses of OpenAI, plain, streamed and stored."""

import time
from typing import Any

from openai.types.responses import (
    Response,
    ResponseFunctionToolCall,
    ResponseOutputItem,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseUsage,
)
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from ai_clients.simulator import ids, tokens, wire
from ai_clients.simulator.answers import Answer, JsonObject, Plain, RequestRefusedError, Streamed
from ai_clients.simulator.composing import ANY_OBJECT, Composition, Tool, compose, forced_tool
from ai_clients.simulator.errors import openai_response_stream_error
from ai_clients.simulator.openai_response_events import events
from ai_clients.simulator.prompts import Prompt, read_openai_response
from ai_clients.simulator.requests import (
    mapping,
    mappings,
    openai_required,
    openai_service_tier,
    positive_integer,
)
from ai_clients.simulator.stored_responses import StoredResponses

_stored = StoredResponses()


class _WireResponse(Response):
    """The SDK reads these times as float; on the wire they are whole seconds."""

    created_at: int
    completed_at: int | None = None


def answer(body: JsonObject) -> Answer:
    """Answer one request; `tokens.py` has the rule of its usage. `previous_response_id` adds nothing to the input."""
    model: str = openai_required(body, "model", str)
    if not any(body.get(name) for name in ("input", "previous_response_id", "prompt", "conversation")):
        openai_required(body, "input", (str, list))
    prompt = read_openai_response(body)
    limit = positive_integer(body, "max_output_tokens")
    effort = mapping(body, "reasoning").get("effort")
    reasoning = tokens.reasoning_tokens(model, prompt.tokens, effort=effort, limit=limit)
    composition = compose(
        prompt,
        seed=prompt.seed(model),
        limit=None if limit is None else limit - reasoning,
        schema=_schema(body),
        tool=_tool(body),
    )
    response = _response(body, model, composition, _usage(body, prompt, composition, reasoning))
    serialised = wire.body(response)
    if body.get("store") is not False:
        _stored.keep(response.id, serialised)
    if body.get("stream"):
        return Streamed(list(events(response)), openai_response_stream_error)
    return Plain(serialised)


def answer_stored(path: JsonObject) -> Answer:
    """The response created before under `path["response_id"]`; refused with 404 when there is none."""
    response_id = path["response_id"]
    serialised = _stored.find(response_id)
    if serialised is None:
        raise RequestRefusedError(f"Response with id '{response_id}' not found.", status=404)
    return Plain(serialised)


def _response(body: JsonObject, model: str, composition: Composition, usage: ResponseUsage) -> Response:
    now = int(time.time())
    # Lenient construction: these fields repeat the request, whatever a lenient server let through.
    return _WireResponse.construct(
        id=ids.response(),
        object="response",
        created_at=now,
        completed_at=None if composition.is_cut else now,
        status="incomplete" if composition.is_cut else "completed",
        background=False,
        error=None,
        incomplete_details={"reason": "max_output_tokens"} if composition.is_cut else None,
        instructions=body.get("instructions"),
        max_output_tokens=body.get("max_output_tokens"),
        max_tool_calls=body.get("max_tool_calls"),
        model=model,
        output=_output(composition, is_reasoned=usage.output_tokens_details.reasoning_tokens > 0),
        parallel_tool_calls=body.get("parallel_tool_calls", True),
        previous_response_id=body.get("previous_response_id"),
        prompt_cache_key=body.get("prompt_cache_key"),
        prompt_cache_retention=body.get("prompt_cache_retention"),
        reasoning={"effort": None, "summary": None, **mapping(body, "reasoning")},
        safety_identifier=body.get("safety_identifier"),
        service_tier=openai_service_tier(body),
        store=body.get("store", True),
        temperature=body.get("temperature", 1.0),
        text={"format": {"type": "text"}, "verbosity": "medium", **mapping(body, "text")},
        tool_choice=body.get("tool_choice", "auto"),
        tools=body.get("tools") or [],
        top_logprobs=body.get("top_logprobs", 0),
        top_p=body.get("top_p", 1.0),
        truncation=body.get("truncation", "disabled"),
        usage=usage,
        user=body.get("user"),
        metadata=body.get("metadata") or {},
    )


def _output(composition: Composition, *, is_reasoned: bool) -> list[ResponseOutputItem]:
    output: list[ResponseOutputItem] = []
    if is_reasoned:
        output.append(ResponseReasoningItem(id=ids.response_item("rs"), type="reasoning", summary=[]))
    call = composition.tool_call
    if call is not None:
        output.append(
            ResponseFunctionToolCall(
                id=ids.response_item("fc"),
                type="function_call",
                status="completed",
                arguments=tokens.compact_json(call.arguments),
                call_id=ids.openai_tool_call(),
                name=call.name,
            )
        )
        return output
    text = ResponseOutputText(type="output_text", annotations=[], logprobs=[], text=composition.text)
    output.append(
        ResponseOutputMessage(
            id=ids.response_item("msg"),
            type="message",
            status="incomplete" if composition.is_cut else "completed",
            content=[text],
            role="assistant",
        )
    )
    return output


def _usage(body: JsonObject, prompt: Prompt, composition: Composition, reasoning: int) -> ResponseUsage:
    output_tokens = composition.tokens + reasoning
    cached = tokens.openai_cached_tokens(prompt.tokens, prompt_cache_key=body.get("prompt_cache_key"))
    return ResponseUsage(
        input_tokens=prompt.tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=cached, cache_write_tokens=0),
        output_tokens=output_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=reasoning),
        total_tokens=prompt.tokens + output_tokens,
    )


def _schema(body: JsonObject) -> JsonObject | None:
    wanted = mapping(mapping(body, "text"), "format")
    if wanted.get("type") == "json_schema":
        return mapping(wanted, "schema")
    return ANY_OBJECT if wanted.get("type") == "json_object" else None


def _tool(body: JsonObject) -> Tool | None:
    functions = [tool for tool in mappings(body, "tools") if tool.get("type") == "function"]
    tools = [Tool(str(function.get("name")), mapping(function, "parameters")) for function in functions]
    choice: Any = body.get("tool_choice")
    is_named = isinstance(choice, dict) and choice.get("type") == "function"
    return forced_tool(tools, name=choice.get("name") if is_named else None, is_any=choice == "required")
