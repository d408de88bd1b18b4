"""Which addresses webhooks may go to: the owner of an organisation must not reach this machine's own network."""

from __future__ import annotations

import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address, ip_network
from urllib.parse import SplitResult, urlsplit

import httpx2

from usage_billing.alerts.problems import DeliveryError

SCHEMES = ("http", "https")
NAT64 = ip_network("64:ff9b::/96")
"""IPv6 addresses whose last four bytes are an IPv4 address (RFC 6052)."""
IPV4_COMPATIBLE = ip_network("::/96")

PRIVATE = (
    "“{host}” is a private address. Webhooks go to public ones only, unless the installation sets"
    " ALERTS_ALLOW_PRIVATE_ADDRESSES."
)


def split(url: str) -> SplitResult:
    """The parts of an address that a message may be sent to. Raises `DeliveryError`, which is final."""
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
        httpx2.URL(url.strip())  # It refuses more: line breaks, names that no host has.
    except (ValueError, httpx2.InvalidURL) as error:
        raise DeliveryError("This is no address. Write one such as https://example.com/hook.", is_final=True) from error
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise DeliveryError("Write an address that begins with https:// or http://.", is_final=True)
    if parts.username is not None or parts.password is not None:
        raise DeliveryError("Write the address without a user and a password.", is_final=True)
    return parts


def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The IP addresses of the host, resolved once. Raises `DeliveryError` if one of them is private, and if none is
    found."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DeliveryError(f"The name “{host}” is not found.") from error
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    if not allow_private:
        check(host, addresses)
    return addresses


def check(host: str, addresses: list[str]) -> None:
    """Raise `DeliveryError`, which is final, if one of the addresses is private."""
    if not all(is_public(address) for address in addresses):
        # Not which one: nobody shall learn the addresses of names in this network.
        raise DeliveryError(PRIVATE.format(host=host), is_final=True)


def is_private_literal(host: str) -> bool:
    """Whether the host is an IP address, and a private one."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return not is_public(host)


def is_public(address: str) -> bool:
    """Whether it is an address of the public internet, also where it holds another one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # such as fe80::1%eth0, an address of one network
        return False
    inner = _inner(found) if isinstance(found, IPv6Address) else found
    if isinstance(inner, IPv6Address) and inner.is_site_local:  # fec0::/10: global to Python, private to RFC 3879
        return False
    return inner.is_global and not (inner.is_multicast or inner.is_reserved or inner.is_unspecified)


def _inner(address: IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that it stands for; else itself."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in NAT64 or address in IPV4_COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
