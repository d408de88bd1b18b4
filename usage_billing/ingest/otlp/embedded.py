"""JSON texts in attributes, of which only facts about usage are read: never what was asked or answered."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from usage_billing.ingest.otlp.values import Attributes, fact

T = TypeVar("T")


class Answer(msgspec.Struct, frozen=True):
    """An answer of OpenAI's or Anthropic's API, as OpenInference puts it into `output.value`."""

    id: str = ""
    model: str = ""
    service_tier: str | None = None
    usage: dict[str, Any] | None = None


class Request(msgspec.Struct, frozen=True):
    """Parameters of a request, as OpenInference and Logfire put them into an attribute."""

    service_tier: str | None = None
    stream: bool | None = None


_answer = msgspec.json.Decoder(Answer)
_request = msgspec.json.Decoder(Request)
_block = msgspec.json.Decoder(dict[str, Any])
_ID_FIRST = re.compile(r'\{\s*"id":\s*"((?:chatcmpl-|resp_|msg_)[A-Za-z0-9_-]{16,200})"')


def usage_block(attributes: Attributes) -> dict[str, Any] | None:
    """Return the provider's own usage block, as Logfire tells it; None if it does not, or it is not JSON."""
    return _read(_block, fact(attributes, "usage_block"))


def answer(attributes: Attributes) -> Answer:
    """Return the answer's facts. Of a text that was cut, which exporters do, its id is known: it comes first."""
    text = fact(attributes, "answer_json")
    found = _read(_answer, text)
    if found is None:
        id_first = _ID_FIRST.match(text)
        return Answer(id=id_first[1] if id_first else "")
    return found


def request(attributes: Attributes) -> Request:
    return _read(_request, fact(attributes, "request_json")) or Request()


def _read(decoder: msgspec.json.Decoder[T], text: str) -> T | None:
    if not text.startswith("{"):
        return None
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
