"""The client's address, by which failed log-ins and anonymous requests are counted."""

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

from usage_billing.conf import conf


def client_address(request: Any) -> str | None:
    """Return the client's IPv4 address or IPv6 network; None where there is none, as on a Unix socket.

    `request`: Django's or DRF's. Only the last `conf.TRUSTED_PROXIES` entries of X-Forwarded-For are believed: our
    own proxies wrote them. An IPv6 subscriber has a whole /64, so the network counts and not the address.
    """
    sender = request.META.get("REMOTE_ADDR", "")
    forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    proxies: int = conf.TRUSTED_PROXIES
    if proxies and forwarded:
        sender = forwarded[-min(proxies, len(forwarded))]
    address = _parsed(sender)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or IPv6Network((int(address), 64), strict=False).network_address
    return str(address) if address else None


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Parse `192.0.2.1` or `2001:db8::1`, also with the port that some proxies add."""
    with suppress(ValueError):
        return ip_address(text)
    with suppress(ValueError):
        return ip_address(urlsplit(f"//{text}").hostname or "")
    return None
