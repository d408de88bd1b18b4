"""The HTTP library of a client: `httpx2`, or the older `httpx`, whose names are the same.

The SDKs of before autumn 2026 are built on the older one, and OpenAI's still takes its clients. A program that uses
it has imported it: nothing here does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Protocol

import httpx2

NEWER = (httpx2.Request, httpx2.Response)


def libraries() -> tuple[Any, ...]:
    """The HTTP libraries that this process has imported, as modules."""
    older = sys.modules.get("httpx")
    # `URL` is the last of its names: without it, another thread is importing the library.
    return (httpx2, older) if hasattr(older, "URL") else (httpx2,)


def library_of(value: Any) -> Any:
    """The library, a module, of a client, a request or a response; None for anything else."""
    if isinstance(value, NEWER):
        return httpx2  # at once: callers wait for it
    return next((each for each in libraries() if isinstance(value, _types_of(each))), None)


def _types_of(library: Any) -> tuple[type, ...]:
    return library.Request, library.Response, library.Client, library.AsyncClient


class Headers(Protocol):
    """Headers of httpx2 and httpx: `raw` has names and values as they are sent."""

    @property
    def raw(self) -> Sequence[tuple[bytes, bytes]]: ...


def by_name(headers: Headers) -> dict[bytes, bytes]:
    """The headers by name, in small letters; of a name that comes twice the first.

    The libraries look through all headers for each name (2 µs); this does so once.
    """
    return {name.lower(): value for name, value in reversed(headers.raw)}


def content_of(request: Any) -> bytes | None:
    """The request's body; None if it is produced while it is sent."""
    try:
        content: bytes = request.content
    except RuntimeError:  # `RequestNotRead` of both libraries is one
        return None
    return content
