"""Remembers the last responses, so that `GET responses/{id}` finds what `POST responses` created."""

from collections import OrderedDict

_MOST_KEPT = 1000


class StoredResponses:
    """A bounded map of response id to response body; the least recently used goes first."""

    def __init__(self, most_kept: int = _MOST_KEPT) -> None:
        self._most_kept = most_kept
        self._bodies: OrderedDict[str, bytes] = OrderedDict()

    def keep(self, response_id: str, body: bytes) -> None:
        self._bodies[response_id] = body
        if len(self._bodies) > self._most_kept:
            self._bodies.popitem(last=False)

    def find(self, response_id: str) -> bytes | None:
        body = self._bodies.get(response_id)
        if body is not None:
            self._bodies.move_to_end(response_id)
        return body
