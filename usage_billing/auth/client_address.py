"""Where a request comes from: what failed log-ins and anonymous requests are counted by."""

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

from usage_billing.conf import conf


def client_address(request: Any) -> str | None:
    """The client's IPv4 address, or its IPv6 network; None where none can be told, as on a Unix socket.

    `request`: Django's or DRF's. Of X-Forwarded-For only what our own proxies wrote is believed: the last
    `conf.TRUSTED_PROXIES` entries. A subscriber has a whole IPv6 /64 to take addresses from, so that one counts.
    """
    sender = request.META.get("REMOTE_ADDR", "")
    forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    if conf.TRUSTED_PROXIES and forwarded:
        sender = forwarded[-min(conf.TRUSTED_PROXIES, len(forwarded))]
    address = _parsed(sender)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or IPv6Network((int(address), 64), strict=False).network_address
    return str(address) if address else None


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """The address of `192.0.2.1`, `2001:db8::1`, and with the port that some proxies add."""
    with suppress(ValueError):
        return ip_address(text)
    with suppress(ValueError):
        return ip_address(urlsplit(f"//{text}").hostname or "")
    return None
