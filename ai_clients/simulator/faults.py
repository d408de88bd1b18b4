"""Faults a test asks for by request header, so that the simulator itself remembers nothing.

| header | effect |
|---|---|
| `X-Simulator-Statuses: 429,500,200` | the n-th attempt (`x-stainless-retry-count`) gets the n-th status |
| `X-Simulator-Delay-Ms: 5` | waits that many milliseconds before it answers |
| `X-Simulator-Cut-After: N` | drops the connection after N events of a stream |
| `X-Simulator-Stream-Error-After: N` | sends the provider's error event after N events and ends |
| `X-Simulator-Chunk-Bytes: N` | sends the streamed body in network chunks of N bytes |
| `X-Simulator-Gzip: 1` | compresses a plain answer |
| `X-Simulator-Answer: refused` | a plain answer refuses, in the provider's way |
| `X-Simulator-Answer: cut-off` | a plain answer ends in the middle, at the limit of tokens |
| `X-Simulator-Text: …` | a plain answer has this text, percent-encoded, instead of its own |

The last status of the list repeats for all further attempts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from ai_clients.simulator.answers import RequestRefusedError

_STATUSES = "x-simulator-statuses"
_ANSWER = "x-simulator-answer"
_RETRY_COUNT = "x-stainless-retry-count"


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of one attempt; none if `status` is 200 and nothing else is set."""

    status: int = 200
    delay_ms: int = 0
    cut_after: int | None = None
    stream_error_after: int | None = None
    chunk_bytes: int | None = None
    is_gzipped: bool = False
    answer: str = ""
    text: str | None = None


_NONE = Faults()


def read(headers: Mapping[str, str]) -> Faults:
    """The faults of one attempt; a header that is no whole number is refused."""
    if not any(name.startswith("x-simulator-") for name in headers):
        return _NONE
    return Faults(
        status=_status(headers),
        delay_ms=_whole_number(headers, "x-simulator-delay-ms") or 0,
        cut_after=_whole_number(headers, "x-simulator-cut-after"),
        stream_error_after=_whole_number(headers, "x-simulator-stream-error-after"),
        # Nobody can send chunks of nothing: 0 means the usual chunks.
        chunk_bytes=_whole_number(headers, "x-simulator-chunk-bytes") or None,
        is_gzipped=headers.get("x-simulator-gzip") == "1",
        answer=_answer(headers),
        text=None if (text := headers.get("x-simulator-text")) is None else unquote(text),
    )


def _answer(headers: Mapping[str, str]) -> str:
    wanted = headers.get(_ANSWER, "")
    if wanted not in ("", "refused", "cut-off"):
        raise RequestRefusedError(f"The header {_ANSWER} holds {wanted!r}; give refused or cut-off.")
    return wanted


def _status(headers: Mapping[str, str]) -> int:
    listed = headers.get(_STATUSES)
    if listed is None:
        return 200
    statuses = [_parse(_STATUSES, entry) for entry in listed.split(",")]
    attempt = _whole_number(headers, _RETRY_COUNT) or 0
    return statuses[min(attempt, len(statuses) - 1)]


def _whole_number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name)
    return None if value is None else _parse(name, value)


def _parse(name: str, value: str) -> int:
    if not value.strip().isdecimal():
        raise RequestRefusedError(f"The header {name} holds {value!r}; give a whole number.")
    return int(value)
