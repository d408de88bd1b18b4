"""Reads the work of OpenAI's hosted tools (API reference: Response object, `tool_usage` and `output`). Pure.

A tool that was declared and did not run costs nothing. A tool that ran and cannot be counted makes the cost unknown:
by a part without a model, or by a word of `context` that no price knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ai_clients.usage.answer import NO_USAGE, count, decoder, has_usage, text
from usage_billing.recording.event import Part

CALLS = (
    b'"web_search_call"',
    b'"file_search_call"',
    b'"code_interpreter_call"',
    b'"image_generation_call"',
    b'"shell_call"',
)
"""Types of output items of the tools that cost. Quotes inside JSON strings are escaped: no text can look like one."""

REACHED_A_CONTAINER = ("interpreting", "completed", "incomplete", "failed")
DEFAULT_MEMORY = "1g"
"""API reference: Containers, `memory_limit`: 1 GB unless the request asks for more."""
NEW = ("auto", "container_auto")
"""Types of `code_interpreter.container` and `shell.environment` that make a container for the request."""


class ToolUse(msgspec.Struct, frozen=True):
    """The units, parts, context and response facts of an `Event` that tools add."""

    units: dict[str, int | float] = {}
    parts: list[Part] = []
    context: dict[str, str] = {}
    response: dict[str, Any] = {}


NO_TOOLS = ToolUse()


class _Response(msgspec.Struct):
    output: msgspec.Raw = NO_USAGE
    tools: msgspec.Raw = NO_USAGE


class _Item(msgspec.Struct):
    type: Any = None
    status: Any = None
    action: Any = None
    container_id: Any = None
    environment: Any = None
    svg_usage: msgspec.Raw = NO_USAGE


class _Tool(msgspec.Struct):
    type: Any = None
    model: Any = None
    container: Any = None
    environment: Any = None


class _ToolUsage(msgspec.Struct):
    image_gen: msgspec.Raw = NO_USAGE
    web_search: Any = None


class _SvgUsage(msgspec.Struct):
    model: Any = None
    input_tokens: Any = None
    output_tokens: Any = None
    reasoning_tokens: Any = None


_decode_response = decoder(_Response)
_decode_list = decoder(list[msgspec.Raw])
_decode_item = decoder(_Item)
_decode_tool = decoder(_Tool)
_decode_tool_usage = decoder(_ToolUsage)
_decode_svg_usage = decoder(_SvgUsage)
_decode_fields = decoder(dict[str, Any])


def ran(body: bytes) -> bool:
    """Whether the body may hold a call of a tool that costs: a quick search for words, made for every answer."""
    return b'_call"' in body and any(call in body for call in CALLS)


def tool_use(response: bytes | msgspec.Raw, tool_usage: msgspec.Raw, *, called: bool) -> ToolUse:
    """The work of a response's tools. `called`: its output names calls; otherwise only `tool_usage` is read.

    Raises `msgspec.DecodeError` for JSON that is not an object.
    """
    if not called and not has_usage(tool_usage):
        return NO_TOOLS
    told = _decode_tool_usage(tool_usage) if has_usage(tool_usage) else _ToolUsage()
    parts = _decode_response(response) if called or _has_tokens(told.image_gen) else _Response()
    items = [_decode_item(raw) for raw in _objects(parts.output)] if called else []
    tools = [_decode_tool(raw) for raw in _objects(parts.tools)]
    use = ToolUse()
    _searches(use, told, items, tools)
    _containers(use, items, tools)
    _images(use, told, items, tools)
    return use


def svg_part(raw: msgspec.Raw) -> list[Part]:
    """The tokens of the model that wrote an SVG image (API reference: Images, `svg_usage`)."""
    if not has_usage(raw):
        return []
    told = _decode_svg_usage(raw)
    usage = {
        "input_tokens": count(told.input_tokens),
        "output_tokens": count(told.output_tokens),
        "output_tokens_details": {"reasoning_tokens": count(told.reasoning_tokens)},
    }
    return [Part(model=text(told.model), api="responses", usage=msgspec.Raw(msgspec.json.encode(usage)))]


def _searches(use: ToolUse, told: _ToolUsage, items: list[_Item], tools: list[_Tool]) -> None:
    """Only searches are billed, not the opening of a page (Response object: `web_search.num_requests`)."""
    requests = told.web_search.get("num_requests") if isinstance(told.web_search, dict) else None
    if not isinstance(requests, int):
        requests = sum(item.type == "web_search_call" and _completed(item) and _is_search(item) for item in items)
    if searches := count(requests):
        use.units["web_searches"] = searches
        if any(text(tool.type).startswith("web_search_preview") for tool in tools):
            use.context["search"] = "preview"
    if files := sum(item.type == "file_search_call" and _completed(item) for item in items):
        use.units["storage_searches"] = files


CONTAINER_TOOLS = {"code_interpreter": "container", "shell": "environment"}
"""Tools that run in a container → their field that tells which."""


def memory_of_new(tools: Any) -> dict[str, str]:
    """Tool → memory of the container that it may make, from the `tools` of a request or of its answer."""
    asked: dict[str, str] = {}
    for tool in tools if isinstance(tools, list) else []:
        kind = text(tool.get("type")) if isinstance(tool, dict) else ""
        place = tool.get(CONTAINER_TOOLS[kind]) if kind in CONTAINER_TOOLS else None
        if isinstance(place, dict) and place.get("type") in NEW:
            asked[kind] = text(place.get("memory_limit")) or DEFAULT_MEMORY
    return asked


def _containers(use: ToolUse, items: list[_Item], tools: list[_Tool]) -> None:
    """Note the containers that ran, each with its memory: empty where the answer names a container that was there.

    OpenAI guide, Shell: a shell's new container is told in the same way (`container_reference`).
    """
    declared = {text(tool.type): "" for tool in tools}
    memories = declared | memory_of_new([msgspec.structs.asdict(tool) for tool in tools])
    containers = {
        text(item.container_id): memories.get("code_interpreter", DEFAULT_MEMORY)
        for item in items
        if item.type == "code_interpreter_call" and text(item.status) in REACHED_A_CONTAINER
    } | {
        text(item.environment.get("container_id")): memories.get("shell", DEFAULT_MEMORY)
        for item in items
        if item.type == "shell_call" and isinstance(item.environment, dict)
        if item.environment.get("type") == "container_reference"
    }
    if containers:
        use.response["containers"] = containers


def _images(use: ToolUse, told: _ToolUsage, items: list[_Item], tools: list[_Tool]) -> None:
    """Images are made by another model, whose tokens are reported apart from the call's own, or not at all."""
    drawn = [item for item in items if item.type == "image_generation_call"]
    if _has_tokens(told.image_gen):
        models = {text(tool.model) for tool in tools if tool.type == "image_generation"}
        model = models.pop() if len(models) == 1 else ""
        use.parts.append(Part(model=model, api="images", usage=told.image_gen))
    elif any(_completed(item) for item in drawn):
        use.parts.append(Part(model="", api="images", usage=msgspec.Raw(b"{}")))
    for item in drawn:
        use.parts.extend(svg_part(item.svg_usage))


def _completed(item: _Item) -> bool:
    return item.status == "completed"  # type: ignore[no-any-return]


def _is_search(item: _Item) -> bool:
    """Older answers, without actions, had one search in each call."""
    return item.action is None or (isinstance(item.action, dict) and item.action.get("type") == "search")


def _has_tokens(raw: msgspec.Raw) -> bool:
    if not has_usage(raw):
        return False
    fields = _decode_fields(raw)
    return bool(count(fields.get("input_tokens")) or count(fields.get("output_tokens")))


def _objects(raw: msgspec.Raw) -> Iterator[msgspec.Raw]:
    """The objects of a JSON list; nothing for any other JSON."""
    if bytes(raw).lstrip().startswith(b"["):
        yield from (item for item in _decode_list(raw) if has_usage(item))
