"""The client's address, and which headers are believed."""

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from tests.support.configure import configure
from usage_billing.auth.client_address import client_address

SPOOFED = "198.51.100.1, 203.0.113.7"


@pytest.mark.parametrize(
    ("proxies", "sender", "forwarded", "expected"),
    [
        # Nobody but our own proxies is believed.
        (0, "192.0.2.1", SPOOFED, "192.0.2.1"),
        (1, "127.0.0.1", SPOOFED, "203.0.113.7"),
        (2, "127.0.0.1", f"evil, {SPOOFED}", "198.51.100.1"),
        # Past the outer proxy, the inner one saw the client itself.
        (2, "127.0.0.1", "203.0.113.7", "203.0.113.7"),
        (1, "192.0.2.1", None, "192.0.2.1"),
        (1, "192.0.2.1", " , ", "192.0.2.1"),
        # Some proxies add the port.
        (1, "127.0.0.1", "203.0.113.7:51234", "203.0.113.7"),
        (1, "127.0.0.1", "[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::"),
        # All addresses of a subscriber count as one.
        (0, "2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::"),
        (0, "2001:db8:1:2:ffff::1", None, "2001:db8:1:2::"),
        (0, "2001:db8:1:3::1", None, "2001:db8:1:3::"),
        (0, "::ffff:192.0.2.1", None, "192.0.2.1"),
        # Neither a Unix socket nor nonsense has an address.
        (0, "", None, None),
        (1, "127.0.0.1", "unknown", None),
        (1, "127.0.0.1", "[::1", None),
        (1, "127.0.0.1", "1.2.3.4\x00", None),
    ],
)
def test_client_address(
    settings: Settings, proxies: int, sender: str, forwarded: str | None, expected: str | None
) -> None:
    configure(settings, TRUSTED_PROXIES=proxies)
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    assert client_address(RequestFactory().get("/", headers=headers, REMOTE_ADDR=sender)) == expected
