"""Sends the events of a stream, with the faults a test asked for."""

import asyncio
from collections.abc import Iterator, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ai_clients.simulator.answers import Streamed
from ai_clients.simulator.faults import Faults


class EventStream(Response):
    """A `text/event-stream` response; one network chunk an event unless the faults say otherwise."""

    def __init__(self, streamed: Streamed, faults: Faults, headers: Mapping[str, str]) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self.init_headers({**headers, "content-type": "text/event-stream; charset=utf-8"})
        # Starlette states the length of an empty body; a stream has none.
        del self.headers["content-length"]
        self._streamed = streamed
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for chunk in _chunks(_events(self._streamed, self._faults), self._faults.chunk_bytes):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if self._faults.chunk_bytes:
                await asyncio.sleep(0)
        if self._faults.cut_after is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        # Returning without the closing part makes the server drop the connection: that is the cut.


def _events(streamed: Streamed, faults: Faults) -> list[bytes]:
    events = streamed.events
    if faults.stream_error_after is not None:
        whole = events[: faults.stream_error_after]
        events = [*whole, streamed.error_event(len(whole))]
    return events if faults.cut_after is None else events[: faults.cut_after]


def _chunks(events: list[bytes], chunk_bytes: int | None) -> Iterator[bytes]:
    if chunk_bytes is None:
        yield from events
        return
    body = b"".join(events)
    for start in range(0, len(body), chunk_bytes):
        yield body[start : start + chunk_bytes]
