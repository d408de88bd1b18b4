"""POST to an address that a person has written: pinned to what was checked, bounded in time and size.

The name is resolved once, and the connection goes to that very address, so a second answer of the name server changes
nothing (no rebinding). TLS is verified for the name. Redirects are not followed, and no proxy is used: it would resolve
the name itself. httpcore2 is the transport of httpx2; httpx2's client would log the address, and a bot's token with it.
"""

from __future__ import annotations

import functools
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore2
import httpx2

from usage_billing.alerts import addresses
from usage_billing.alerts.problems import DeliveryError

CONNECT_S = 5.0
WHOLE_S = 10.0
"""For the connection, the request and the answer together: a byte a second must not hold the sender."""
LARGEST_ANSWER = 65536
"""Bytes that are read of an answer."""
LONGEST_RETRY_AFTER = timedelta(days=1)
AGAIN = frozenset({408, 409, 421, 423, 425, 429})
"""Refusals (4xx) after which the same request may be taken later."""


@dataclass(frozen=True)
class Answer:
    """An answer; of a long one the beginning of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after(self) -> timedelta | None:
        """What the header `Retry-After` asks for, in seconds or as a date (RFC 9110, section 10.2.3)."""
        text = self.headers.get("retry-after", "").strip()
        if text.isdecimal():
            return min(timedelta(seconds=int(text[:9])), LONGEST_RETRY_AFTER)
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return min(max(aware - datetime.now(UTC), timedelta(0)), LONGEST_RETRY_AFTER)


def post(url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool) -> Answer:
    """Send the body. Raises `DeliveryError` if there is no answer, and if the address is not allowed."""
    addresses.split(url)
    target = httpx2.URL(url.strip())
    to = httpcore2.URL(scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path)
    backend = _Pinned(allow_private=allow_private, deadline=time.monotonic() + WHOLE_S)
    sent = {"User-Agent": "django-ai-costs", "Connection": "close", **headers}
    try:
        with (
            httpcore2.ConnectionPool(ssl_context=_tls(), network_backend=backend) as pool,
            pool.stream("POST", to, headers=_raw(sent), content=body) as response,
        ):
            return Answer(response.status, _texts(response.headers), _beginning(response.iter_stream()))
    except httpcore2.TimeoutException as error:
        raise DeliveryError(f"The server did not answer within {WHOLE_S:g} seconds.") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, ssl.SSLError, OSError) as error:
        raise DeliveryError(f"The connection failed: {str(error)[:200] or type(error).__name__}.") from error


def check(answer: Answer, reason: str = "") -> None:
    """Raise `DeliveryError` unless the message was taken. reason: what the other side said."""
    if 200 <= answer.status < 300:
        return
    said = f" ({reason})" if reason else ""
    if 300 <= answer.status < 400:
        raise DeliveryError(
            f"The address redirects (status {answer.status}). Write the address that it leads to.", is_final=True
        )
    if answer.status in (404, 410):
        raise DeliveryError(
            f"Nobody takes messages at this address any more (status {answer.status}){said}. Correct the channel.",
            is_final=True,
        )
    if 400 <= answer.status < 500 and answer.status not in AGAIN:
        raise DeliveryError(
            f"The message was refused (status {answer.status}){said}. Check the channel's address and secret.",
            is_final=True,
        )
    raise DeliveryError(f"The server answered with status {answer.status}{said}.", retry_after=answer.retry_after)


def _beginning(chunks: Iterable[bytes]) -> bytes:
    found = bytearray()
    for chunk in chunks:
        found += chunk
        if len(found) >= LARGEST_ANSWER:
            break
    return bytes(found[:LARGEST_ANSWER])


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


class _Pinned(httpcore2.NetworkBackend):
    """Resolves a name, checks what it found, and connects to that; gives up at the deadline."""

    def __init__(self, *, allow_private: bool, deadline: float) -> None:
        self._allow_private = allow_private
        self._deadline = deadline

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore2.NetworkStream:
        failure: Exception = httpcore2.ConnectError("no address")
        connect_until = min(self._deadline, time.monotonic() + CONNECT_S)
        for address in addresses.resolve(host.strip("[]"), port, allow_private=self._allow_private):
            try:
                stream = httpcore2.SyncBackend().connect_tcp(address, port, timeout=_left(connect_until))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
                continue
            return _Bounded(stream, self._deadline)
        raise failure


class _Bounded(httpcore2.NetworkStream):
    """A stream whose every step ends at the deadline."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Bounded(self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline)), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()


def _left(deadline: float) -> float:
    """Seconds until the deadline. Raises `TimeoutException` when it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout("the time is up")
    return left
