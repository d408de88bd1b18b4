"""The results that an endpoint gives to the HTTP layer: a whole body, a list of server-sent events, or a refusal."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plain:
    """A whole JSON body."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Streamed:
    """A streamed body, event by event; `error_event(n)` is the provider's error as the n-th event from 0."""

    events: list[bytes]
    error_event: Callable[[int], bytes]


Answer = Plain | Streamed


class RequestRefusedError(Exception):
    """The request cannot be answered; `message`, `param` and `code` go into the provider's error body."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code
