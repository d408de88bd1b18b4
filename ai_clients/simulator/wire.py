"""Turns the SDKs' own types into the bytes a provider sends."""

from collections.abc import Mapping

from pydantic import BaseModel
from pydantic_core import to_json


def body(model: BaseModel) -> bytes:
    """JSON of the fields that were set, explicit nulls included, under their names on the wire."""
    # Echoed parts of a request may differ from the SDK's types; a lenient server repeats them as they came.
    return model.__pydantic_serializer__.to_json(
        model, exclude_unset=True, by_alias=True, serialize_as_any=True, warnings=False
    )


def json_bytes(value: object) -> bytes:
    """Compact JSON of plain values."""
    return to_json(value)


def data_event(model: BaseModel) -> bytes:
    """A server-sent event without a name, as OpenAI's chat stream sends them."""
    return b"data: " + body(model) + b"\n\n"


def named_event(name: str, content: BaseModel | Mapping[str, object]) -> bytes:
    """A server-sent event with a name, as all the other streams send them."""
    payload = body(content) if isinstance(content, BaseModel) else json_bytes(content)
    return b"event: " + name.encode() + b"\ndata: " + payload + b"\n\n"
