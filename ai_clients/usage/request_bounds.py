"""Reads from a request the most that its answer may use: for a budget, which decides before the call is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from ai_clients.http_library import content_of
from ai_clients.usage import request_facts
from ai_clients.usage.answer import decoder, text
from usage_billing.recording.event import Flavour

TOOL_TOKENS = 1_000
"""Anthropic, Tool use, Pricing: a system prompt of up to 700 tokens comes with tools. OpenAI says no figure."""

OWN_TOOLS = (None, "function", "custom")
"""Types of tools that the caller runs: their results come with the next request."""

_MORE = re.compile(rb'"(?:input_)?(?:image|image_url|file|file_id|audio|document|video|video_url|container_upload)"')
"""Names of content that is no text. Within a text, the quotation marks would be escaped."""
_DATA = re.compile(rb';base64,|"data": ?"|"b64_json": ?"')
"""What stands before a piece of media in a body; it ends with a quotation mark."""


class _Tool(msgspec.Struct):
    type: Any = None


class _Body(msgspec.Struct):
    model: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    max_tokens_to_sample: Any = None
    n: Any = None
    best_of: Any = None
    service_tier: Any = None
    speed: Any = None
    tools: list[_Tool] | None = None
    mcp_servers: msgspec.Raw = msgspec.Raw(b"null")
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None
    container: Any = None


_decode = decoder(_Body)


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
    media = sum(_media_lengths(content))
    limits = (body.max_tokens, body.max_completion_tokens, body.max_output_tokens, body.max_tokens_to_sample)
    return Bounds(
        model=text(body.model),
        text_bytes=len(content) - media + (TOOL_TOKENS if body.tools else 0),
        is_open=bool(media) or _refers_to_more(body, content),
        most_output=max((each for each in limits if type(each) is int and each > 0), default=None),
        answers=max([1, *(each for each in (body.n, body.best_of) if type(each) is int)]),
        writes_cache=flavour != "messages" or b'"cache_control"' in content,
        tier=text(body.service_tier) or text(body.speed),
    )


def _refers_to_more(body: _Body, content: bytes) -> bool:
    """Whether the provider adds to the input: earlier turns, stored prompts, files, results of tools that it runs."""
    if body.previous_response_id or body.conversation or body.container or isinstance(body.prompt, dict):
        return True
    if bytes(body.mcp_servers) not in (b"null", b"[]"):
        return True
    if body.tools and any(tool.type not in OWN_TOOLS for tool in body.tools):
        return True
    return _MORE.search(content) is not None


def _media_lengths(content: bytes) -> Iterator[int]:
    for found in _DATA.finditer(content):
        end = content.find(b'"', found.end())
        yield (len(content) if end < 0 else end) - found.end()
