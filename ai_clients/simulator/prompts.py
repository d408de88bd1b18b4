"""Reads the texts, attachments and cache marks out of a request body of either provider."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from zlib import crc32

from ai_clients.simulator.answers import JsonObject
from ai_clients.simulator.tokens import ATTACHMENT_TOKENS, MESSAGE_TOKENS, compact_json, count

_ATTACHMENTS = frozenset(
    {"image_url", "input_image", "image", "file", "input_file", "document", "input_audio", "container_upload"}
)
_TEXTS = ("text", "thinking", "refusal", "arguments")
_NESTED = ("content", "output", "summary", "tool_calls", "function")


@dataclass(frozen=True, slots=True)
class Piece:
    """One counted part of a prompt; `cache_ttl` is "5m" or "1h" where Anthropic's cache mark stands."""

    tokens: int
    text: str = ""
    cache_ttl: str | None = None


@dataclass(frozen=True)
class Prompt:
    """A whole prompt in the order the provider reads it, and the text it asks last."""

    pieces: tuple[Piece, ...]
    question: str

    @cached_property
    def tokens(self) -> int:
        return sum(piece.tokens for piece in self.pieces)

    def seed(self, model: str) -> int:
        """The same model and prompt always give the same answer, streamed or not."""
        return crc32("\x1f".join([model, *(piece.text for piece in self.pieces)]).encode("utf-8", "replace"))


def read_openai_chat(body: JsonObject) -> Prompt:
    """The prompt of `POST chat/completions`: tools and messages."""
    return _prompt([*_read_tools(body)], body.get("messages"))


def read_openai_response(body: JsonObject) -> Prompt:
    """The prompt of `POST responses`: tools, instructions and input."""
    context = [*_read_tools(body), *_read_content(body.get("instructions"))]
    given = body.get("input")
    return _prompt(context, [given] if isinstance(given, str) else given)


def read_anthropic_message(body: JsonObject) -> Prompt:
    """The prompt of `POST messages`: tools, system and messages, the order in which Anthropic caches them."""
    prompt = _prompt([*_read_tools(body), *_read_content(body.get("system"))], body.get("messages"))
    ttl = _cache_ttl(body)
    if ttl is None:
        return prompt
    # A mark on the whole request stands for a mark on its last block.
    return replace(prompt, pieces=tuple(_mark_last(list(prompt.pieces), ttl)))


def has_cyrillic(text: str) -> bool:
    return re.search("[\u0400-\u04ff]", text) is not None


def _prompt(context: list[Piece], messages: object) -> Prompt:
    read: list[Piece] = []
    for message in messages if isinstance(messages, list) else []:
        read.append(Piece(MESSAGE_TOKENS))
        read.extend(_read_content(message))
    question = next((piece.text for piece in reversed(read) if piece.text), "")
    return Prompt(pieces=(*context, *read), question=question)


def _read_tools(body: JsonObject) -> Iterator[Piece]:
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else []:
        text = compact_json(tool)
        yield Piece(count(text), text, _cache_ttl(tool))


def _read_content(content: object) -> Iterator[Piece]:
    if isinstance(content, str):
        yield Piece(count(content), content)
    elif isinstance(content, dict):
        yield from _mark_last(list(_read_block(content)), _cache_ttl(content))
    elif isinstance(content, list):
        for part in content:
            yield from _read_content(part)


def _read_block(block: JsonObject) -> Iterable[Piece]:
    if block.get("type") in _ATTACHMENTS:
        return _read_attachment(block)
    pieces: list[Piece] = []
    for name, value in block.items():
        if name in _TEXTS and isinstance(value, str):
            pieces.append(Piece(count(value), value))
        elif name in _NESTED:
            pieces.extend(_read_content(value))
        elif name == "input" and block.get("type") in ("tool_use", "server_tool_use"):
            text = compact_json(value)
            pieces.append(Piece(count(text), text))
    return pieces


def _read_attachment(block: JsonObject) -> list[Piece]:
    source: Any = block.get("source")
    if isinstance(source, dict) and source.get("type") == "text":
        return list(_read_content(source.get("data")))
    return [Piece(ATTACHMENT_TOKENS)]


def _mark_last(pieces: list[Piece], ttl: str | None) -> list[Piece]:
    if ttl is not None and pieces:
        pieces[-1] = replace(pieces[-1], cache_ttl=ttl)
    return pieces


def _cache_ttl(block: object) -> str | None:
    mark = block.get("cache_control") if isinstance(block, dict) else None
    if not isinstance(mark, dict):
        return None
    return "1h" if mark.get("ttl") == "1h" else "5m"
