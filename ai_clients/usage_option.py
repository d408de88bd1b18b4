"""Asks OpenAI's streamed chat completions for usage, which they give only when asked, and remembers how servers answer.

| the server, for this path and model                    | the request                                            |
|--------------------------------------------------------|--------------------------------------------------------|
| not known yet                                          | asks                                                   |
| is OpenAI or Azure, or gave usage only when asked      | asks                                                   |
| gave usage, perhaps unasked (`usage_chunk_filter`)     | does not ask, once: the answer tells which             |
| gives usage unasked (OpenRouter; or an answer told so) | does not ask: the usage comes, and the caller sees it  |
| refused the option in a request of no more fields      | does not ask                                           |
| (the body is signed, or is produced while it is sent)  | does not ask                                           |

The one request that does not ask has no usage if the server gives it only when asked; its cost is then unknown. Asking
for ever would hide from the callers of the other servers a chunk that they would have seen without us.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Literal

import httpx2
import msgspec

from ai_clients.http_library import content_of, library_of
from ai_clients.usage.answer import NO_USAGE, decoder
from ai_clients.usage_chunk_filter import Finding, UnaskedStream, UndeclaredStreamFilter, UsageChunkFilter

Server = tuple[bytes, bytes, int | None, bytes, bytes]
"""Scheme, host, port, path and model of a request. A gateway may answer differently for each model."""

Behaviour = Literal["unknown", "when asked", "perhaps unasked", "unasked"]
"""When a server ends a stream with its usage."""

BEHAVIOUR_SECONDS = 24 * 3600
REFUSAL_SECONDS = 3600
"""For how long what was learnt is used: servers are updated."""

MOST_SERVERS = 1000
MOST_REFUSALS = 16
"""The most servers that are remembered, and the most kinds of refused requests of each. Beyond it all are forgotten."""

# OpenAI, API reference: Chat, `stream_options.include_usage`. Azure's hosts: genai-prices, provider `azure`.
_ASKS_FOR_USAGE = re.compile(
    rb"(?:[a-z0-9-]+\.)?api\.openai\.com"
    rb"|[a-z0-9-]+\.(?:openai|cognitiveservices)\.azure\.com"
)
# OpenRouter, "Usage Accounting": `stream_options: {include_usage: true}` has no effect; usage is always included.
_GIVES_USAGE = re.compile(rb"(?:api\.)?openrouter\.ai")

_SIGNATURES = frozenset((b"x-amz-content-sha256", b"content-digest", b"digest", b"content-md5"))
"""Headers that sign the body, as OpenAI's Bedrock provider does: such a request must not be changed."""

_SIGNING_SCHEME = "AWS4-HMAC-SHA256"
"""It signs the body too (AWS, Signature Version 4), and botocore then sets none of these headers."""

_TRUE = msgspec.Raw(b"true")


class _Parameters(msgspec.Struct):
    model: msgspec.Raw = NO_USAGE
    stream: msgspec.Raw = NO_USAGE
    stream_options: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_fields = decoder(_Parameters)
_all_fields = decoder(dict[str, msgspec.Raw])


class ServerMemory:
    """Remembers how servers answered, for a while and in a bounded amount of memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._behaviours: dict[Server, tuple[Behaviour, float]] = {}
        self._refusals: dict[Server, dict[frozenset[str], float]] = {}

    def behaviour(self, server: Server) -> Behaviour:
        """When the server ends a stream with its usage, as far as it is known."""
        behaviour, until = self._behaviours.get(server, ("unknown", 0.0))
        return behaviour if self._clock() < until else "unknown"

    def note_behaviour(self, server: Server, behaviour: Behaviour) -> None:
        if len(self._behaviours) >= MOST_SERVERS:
            self._behaviours = {}
        self._behaviours[server] = (behaviour, self._clock() + BEHAVIOUR_SECONDS)

    def refuses(self, server: Server, body: bytes) -> bool:
        """Whether the server refused the option in a request whose fields are all in this one too."""
        refusals = self._refusals.get(server)
        if not refusals:
            return False
        names, now = frozenset(_all_fields(body)), self._clock()
        return any(refused <= names and now < until for refused, until in tuple(refusals.items()))

    def note_refusal(self, server: Server, body: bytes) -> None:
        if len(self._refusals) >= MOST_SERVERS:
            self._refusals = {}
        refusals = self._refusals.get(server, {})
        if len(refusals) >= MOST_REFUSALS:
            refusals = {}
        self._refusals[server] = {**refusals, frozenset(_all_fields(body)): self._clock() + REFUSAL_SECONDS}

    def clear(self) -> None:
        self._behaviours, self._refusals = {}, {}


servers = ServerMemory()


class StreamedUsage:
    """How the usage of one streamed chat completion comes.

    request: the request to send: the caller's own, or a copy that asks. asks: whether it is the copy.
    """

    __slots__ = ("_behaviour", "_own", "_server", "asks", "request")

    def __init__(
        self, own: httpx2.Request, server: Server, behaviour: Behaviour, asking: httpx2.Request | None
    ) -> None:
        self._own = own
        self._server = server
        self._behaviour = behaviour
        self.asks = asking is not None
        self.request = asking or own

    def declared_filter(self) -> UsageChunkFilter | UnaskedStream:
        """A filter for a body that says that it is a stream."""
        return self._usage_filter() if self.asks else UnaskedStream(found=self._learn)

    def undeclared_filter(self) -> UndeclaredStreamFilter | None:
        """A filter for a body that may be a stream without saying so."""
        return UndeclaredStreamFilter(self._usage_filter()) if self.asks else None

    def refused(self, *, accepted: bool) -> StreamedUsage:
        """Note that the server refused the option. Returns how the usage of the caller's own request comes.

        accepted: whether the server accepts the caller's own request. Otherwise the option was not why.
        """
        if accepted:
            servers.note_refusal(self._server, self._own.content)
        return StreamedUsage(self._own, self._server, self._behaviour, None)

    def _usage_filter(self) -> UsageChunkFilter:
        certain = self._behaviour == "when asked"
        return UsageChunkFilter(certain=certain, copes=not certain and _is_stream_helper(self._own), found=self._learn)

    def _learn(self, finding: Finding) -> None:
        servers.note_behaviour(self._server, "when asked" if finding == "none" else finding)


def streamed_usage(request: httpx2.Request) -> StreamedUsage | None:
    """How the usage of a chat completion comes; None if it does not stream, or needs nothing from us."""
    try:
        body = content_of(request)
        if body is None or b'"stream"' not in body:
            return None
        asked = _fields(body)
        if bytes(asked.stream) != b"true" or _asks_already(asked.stream_options):
            return None
        url = request.url
        server = (url.raw_scheme, url.raw_host, url.port, url.raw_path, bytes(asked.model))
        behaviour = _documented(url.raw_host)
        if behaviour == "unknown":
            behaviour = servers.behaviour(server)
        if behaviour == "unasked" or servers.refuses(server, body):
            return None
        content = _with_option(body) if asked.stream_options is msgspec.UNSET else _with_options(body)
    except msgspec.DecodeError:
        return None  # the provider will refuse it
    asking = None if content is None else _with_content(request, content)
    if asking is None:
        return None
    if behaviour == "perhaps unasked":
        # Only this stream is left unasked. If it is cut, the server is taken for one that gives usage when asked.
        servers.note_behaviour(server, "when asked")
        return StreamedUsage(request, server, behaviour, None)
    return StreamedUsage(request, server, behaviour, asking)


def _documented(host: bytes) -> Behaviour:
    if _ASKS_FOR_USAGE.fullmatch(host):
        return "when asked"
    return "unasked" if _GIVES_USAGE.fullmatch(host) else "unknown"


def _is_stream_helper(request: httpx2.Request) -> bool:
    """Whether the SDK's `chat.completions.stream()` reads the stream: it adds the chunks up and needs no choices."""
    return request.headers.get("x-stainless-helper-method") == "chat.completions.stream"


def _asks_already(stream_options: msgspec.Raw | msgspec.UnsetType) -> bool:
    return isinstance(stream_options, msgspec.Raw) and _options(stream_options).get("include_usage") == _TRUE


def _options(given: msgspec.Raw) -> dict[str, msgspec.Raw]:
    return _all_fields(given) if bytes(given).startswith(b"{") else {}


def _with_option(body: bytes) -> bytes:
    """The JSON object with `stream_options` added at its end. It has a field already, and no `stream_options`."""
    return body.rstrip()[:-1] + b',"stream_options":{"include_usage":true}}'


def _with_options(body: bytes) -> bytes | None:
    """The JSON object with `include_usage` in its `stream_options`; None if that must not be added.

    vLLM's `continuous_usage_stats` has an effect only together with `include_usage`: each chunk would have a usage that
    the caller's own request does not bring (vLLM, test_completion.py, `test_completion_stream_options`).
    """
    fields = _all_fields(body)
    options = _options(fields["stream_options"])
    if "continuous_usage_stats" in options:
        return None
    fields["stream_options"] = msgspec.Raw(msgspec.json.encode({**options, "include_usage": _TRUE}))
    return msgspec.json.encode(fields)


def _with_content(request: httpx2.Request, content: bytes) -> httpx2.Request | None:
    """The request with another body; None if it is signed."""
    is_signed = not _SIGNATURES.isdisjoint([name.lower() for name, _ in request.headers.raw])
    if is_signed or request.headers.get("authorization", "").startswith(_SIGNING_SCHEME):
        return None
    # Given a stream, the library adds no headers of its own: that would take as long as everything else here.
    sent = type(request)(
        request.method,
        request.url,
        headers=request.headers,
        stream=library_of(request).ByteStream(content),
        extensions=request.extensions,
    )
    sent.read()
    sent.headers["content-length"] = str(len(content))
    # A compressed stream could not be edited.
    sent.headers["accept-encoding"] = "identity"
    return sent
