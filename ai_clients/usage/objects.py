"""Reads one object, or the objects of a list, from the body of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ai_clients.usage.answer import NO_USAGE, decoder, has_usage


class _List(msgspec.Struct):
    data: msgspec.Raw = NO_USAGE


_decode_list = decoder(_List)
_decode_items = decoder(list[msgspec.Raw])


def objects(body: bytes) -> Iterator[msgspec.Raw]:
    """Yield each object of `{"data": […]}`, else the body itself. Raises `msgspec.DecodeError` if it is not an object."""
    data = _decode_list(body).data
    if bytes(data).lstrip().startswith(b"["):
        yield from (item for item in _decode_items(bytes(data)) if has_usage(item))
    else:
        yield msgspec.Raw(body)


def block(counts: dict[str, Any]) -> msgspec.Raw:
    """A usage block of these counts."""
    return msgspec.Raw(msgspec.json.encode(counts))
