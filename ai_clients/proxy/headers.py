"""Headers that a proxy may pass on, in both directions."""

from __future__ import annotations

from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

ATTRIBUTION = b"x-ai-costs-"
"""The beginning of the names of the headers that attribute a call."""

_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""RFC 9110, section 7.6.1, and RFC 2616, section 13.5.1; those that `Connection` names are left out too."""

_NOT_TO_PROVIDERS = _HOP_BY_HOP | {
    # Set anew for the provider.
    b"host",
    b"content-length",
    b"authorization",
    b"x-api-key",
    b"api-key",
    # Between the program and this server.
    b"cookie",
    b"expect",
    b"forwarded",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-proto",
    b"x-real-ip",
}
_NOT_TO_CLIENTS = _HOP_BY_HOP | {
    # About the provider's own host.
    b"set-cookie",
    b"alt-svc",
    b"strict-transport-security",
}


def value_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """Return the first value of a header, whose name is in lower case; empty if there is none."""
    return next((value for each, value in headers if each.lower() == name), b"")


def to_provider(headers: Headers, token: bytes) -> Headers:
    """The client's headers without those for this server. One that contains the token stays here, whatever its name."""
    kept = _passed(headers, _NOT_TO_PROVIDERS)
    return [(name, value) for name, value in kept if not name.startswith(ATTRIBUTION) and token not in value]


def to_client(headers: Headers, secret: bytes) -> Headers:
    """The provider's headers without those for this connection. One that contains the key stays here."""
    return [(name, value) for name, value in _passed(headers, _NOT_TO_CLIENTS) if secret not in value]


def _passed(headers: Headers, left_out: frozenset[bytes]) -> Headers:
    lower = [(name.lower(), value) for name, value in headers]
    named = {each.strip().lower() for name, value in lower if name == b"connection" for each in value.split(b",")}
    return [(name, value) for name, value in lower if name not in left_out and name not in named]
