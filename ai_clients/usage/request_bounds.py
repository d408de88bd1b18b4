"""Reads from a request the most that its answer may use: for a budget, which decides before the call is sent."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from ai_clients.http_library import content_of
from ai_clients.usage import request_facts
from ai_clients.usage.answer import NO_USAGE, decoder, text
from usage_billing.recording.event import Flavour

TOOL_TOKENS = 1_000
"""Anthropic, Tool use, Pricing: a system prompt of up to 700 tokens comes with tools. OpenAI says no figure."""

OWN_TOOLS = (None, "function", "custom")
"""Types of tools that the caller runs: their results come with the next request."""

TEXTS = frozenset((
    None, "message", "text", "input_text", "output_text", "refusal", "thinking", "redacted_thinking", "reasoning",
    "tool_use", "tool_result", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
))  # fmt: skip
"""Types of input that is written in the body as a whole. Images, audio, files and references take other tokens."""

_MEDIA = re.compile(rb';base64,[^"]*|"data": ?"[^"]*|"b64_json":"[^"]*')
"""A piece of media in a body, from what stands before it to its quotation mark. Each byte is in one match at most."""

MOST_ANSWERS = 1_000
"""OpenAI, API reference: `n` is 128 at most. A request for more is refused; its estimate must stay an amount."""


class _Tool(msgspec.Struct):
    type: Any = None


class _Item(msgspec.Struct):
    """A message, an item of the input, or a part of either."""

    type: Any = None
    content: msgspec.Raw = NO_USAGE
    output: msgspec.Raw = NO_USAGE


class _Body(msgspec.Struct):
    model: Any = None
    messages: msgspec.Raw = NO_USAGE
    input: msgspec.Raw = NO_USAGE
    system: msgspec.Raw = NO_USAGE
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    max_tokens_to_sample: Any = None
    n: Any = None
    best_of: Any = None
    service_tier: Any = None
    speed: Any = None
    tools: list[_Tool] | None = None
    mcp_servers: msgspec.Raw = NO_USAGE
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None
    container: Any = None


_decode = decoder(_Body)
_decode_items = decoder(list[_Item])


class Bounds(NamedTuple):
    """See `usage_billing.recording.admission.Planned`, whose fields these are."""

    model: str = ""
    text_bytes: int = 0
    is_open: bool = True
    most_output: int | None = None
    answers: int = 1
    writes_cache: bool = False
    tier: str = ""


def bounds_of(request: Any, flavour: Flavour) -> Bounds:
    """What the body bounds. Of one that is no JSON, or is produced while it is sent, only the model may be known."""
    content = content_of(request)
    if content is None:
        return Bounds()
    try:
        body = _decode(content)
    except msgspec.DecodeError:
        return Bounds(model=request_facts.model_of(request))
    is_open = flavour != "embeddings" and _refers_to_more(body)
    media = sum(found.end() - found.start() for found in _MEDIA.finditer(content)) if is_open else 0
    return Bounds(
        model=text(body.model),
        text_bytes=len(content) - media + (TOOL_TOKENS if body.tools else 0),
        is_open=is_open,
        most_output=_most_output(body),
        answers=1 if body.n is body.best_of is None else _answers(body),
        writes_cache=flavour != "messages" or b'"cache_control"' in content,
        tier=text(body.service_tier) or text(body.speed),
    )


def _most_output(body: _Body) -> int | None:
    limits = (body.max_tokens, body.max_completion_tokens, body.max_output_tokens, body.max_tokens_to_sample)
    return max([each for each in limits if type(each) is int and each > 0], default=None)


def _answers(body: _Body) -> int:
    return min(max([1, *(each for each in (body.n, body.best_of) if type(each) is int)]), MOST_ANSWERS)


def _refers_to_more(body: _Body) -> bool:
    """Whether the input takes more than the text in the body: media, files, earlier turns, results of hosted tools."""
    if body.previous_response_id or body.conversation or body.container or isinstance(body.prompt, dict):
        return True
    if body.mcp_servers is not NO_USAGE and bytes(body.mcp_servers) not in (b"null", b"[]"):
        return True
    if body.tools and any(tool.type not in OWN_TOOLS for tool in body.tools):
        return True
    return not (_is_text(body.messages) and _is_text(body.input) and _is_text(body.system))


def _is_text(raw: msgspec.Raw) -> bool:
    if raw is NO_USAGE:
        return True
    value = bytes(raw)
    if value.startswith((b'"', b"null")):
        return True
    try:
        items = _decode_items(value)
    except msgspec.DecodeError:
        return False
    return all(item.type in TEXTS and _is_text(item.content) and _is_text(item.output) for item in items)
