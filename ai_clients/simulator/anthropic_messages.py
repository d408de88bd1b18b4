"""`POST messages` and `POST messages/count_tokens`: messages of Anthropic, plain and streamed."""

from typing import Literal

from anthropic.types import (
    CacheCreation,
    ContentBlock,
    Message,
    MessageTokensCount,
    OutputTokensDetails,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
    Usage,
)

from ai_clients.simulator import ids, sentences, tokens, wire
from ai_clients.simulator.answers import Answer, JsonObject, Plain, RequestRefusedError, Streamed
from ai_clients.simulator.anthropic_message_events import events
from ai_clients.simulator.composing import Composition, Tool, compose, forced_tool
from ai_clients.simulator.errors import anthropic_stream_error
from ai_clients.simulator.prompts import Prompt, read_anthropic_message
from ai_clients.simulator.requests import anthropic_required, mapping, mappings

_THINKING_TOKENS = 32
# A stand-in for the encrypted thinking, long enough to look like one.
_SIGNATURE = "EqQBCkYIBxgCKkAsimulatedsignature" + "A" * 64


def answer(body: JsonObject) -> Answer:
    """Answer one request; `tokens.py` has the rule of its usage."""
    model: str = anthropic_required(body, "model", str)
    limit: int = anthropic_required(body, "max_tokens", int)
    if limit < 1:
        raise RequestRefusedError("max_tokens: Input should be greater than or equal to 1")
    anthropic_required(body, "messages", list)
    prompt = read_anthropic_message(body)

    thinking = _thinking(body, prompt, model, limit)
    thinking_tokens = tokens.count(thinking)
    composition = compose(
        prompt, seed=prompt.seed(model), limit=limit - thinking_tokens, schema=_schema(body), tool=_tool(body)
    )
    message = Message(
        id=ids.message(),
        type="message",
        role="assistant",
        model=model,
        content=_content(thinking, composition),
        stop_reason=_stop_reason(composition),
        stop_sequence=None,
        stop_details=None,
        usage=_usage(prompt, composition.tokens + thinking_tokens, thinking_tokens),
    )
    if body.get("stream"):
        return Streamed(list(events(message)), anthropic_stream_error)
    return Plain(wire.body(message))


def answer_count(body: JsonObject) -> Answer:
    """All input tokens of a request, cached or not."""
    anthropic_required(body, "model", str)
    anthropic_required(body, "messages", list)
    return Plain(wire.body(MessageTokensCount(input_tokens=read_anthropic_message(body).tokens)))


def _content(thinking: str, composition: Composition) -> list[ContentBlock]:
    blocks: list[ContentBlock] = []
    if thinking:
        blocks.append(ThinkingBlock(type="thinking", thinking=thinking, signature=_SIGNATURE))
    call = composition.tool_call
    if call is None:
        blocks.append(TextBlock(type="text", text=composition.text))
    else:
        blocks.append(ToolUseBlock(type="tool_use", id=ids.anthropic_tool_use(), name=call.name, input=call.arguments))
    return blocks


def _thinking(body: JsonObject, prompt: Prompt, model: str, limit: int) -> str:
    if mapping(body, "thinking").get("type") not in ("enabled", "adaptive"):
        return ""
    text = sentences.write(prompt.question, seed=prompt.seed(model) + 1, tokens=_THINKING_TOKENS)
    return sentences.cut(text, tokens=limit // 2)


def _usage(prompt: Prompt, output_tokens: int, thinking_tokens: int) -> Usage:
    written = _cache_writes(prompt)
    cached = sum(written.values())
    usage = Usage(
        input_tokens=prompt.tokens - cached,
        cache_creation_input_tokens=cached,
        cache_read_input_tokens=0,
        cache_creation=CacheCreation(ephemeral_5m_input_tokens=written["5m"], ephemeral_1h_input_tokens=written["1h"]),
        output_tokens=output_tokens,
        service_tier="standard",
        inference_geo="global",
    )
    if thinking_tokens:
        usage.output_tokens_details = OutputTokensDetails(thinking_tokens=thinking_tokens)
    return usage


def _cache_writes(prompt: Prompt) -> dict[str, int]:
    """Tokens written to the cache by ttl: each mark closes the stretch since the mark before it."""
    written = {"5m": 0, "1h": 0}
    stretch = 0
    for piece in prompt.pieces:
        stretch += piece.tokens
        if piece.cache_ttl is not None:
            written[piece.cache_ttl] += stretch
            stretch = 0
    return written


def _stop_reason(composition: Composition) -> Literal["end_turn", "max_tokens", "tool_use"]:
    if composition.tool_call is not None:
        return "tool_use"
    return "max_tokens" if composition.is_cut else "end_turn"


def _schema(body: JsonObject) -> JsonObject | None:
    # The beta endpoint takes as `output_format` the value that `output_config.format` holds today.
    wanted = mapping(mapping(body, "output_config"), "format") or mapping(body, "output_format")
    return mapping(wanted, "schema") if wanted.get("type") == "json_schema" else None


def _tool(body: JsonObject) -> Tool | None:
    tools = [
        Tool(str(tool.get("name")), mapping(tool, "input_schema"))
        for tool in mappings(body, "tools")
        if "input_schema" in tool
    ]
    choice = mapping(body, "tool_choice")
    name = choice.get("name") if choice.get("type") == "tool" else None
    return forced_tool(tools, name=name, is_any=choice.get("type") == "any")
