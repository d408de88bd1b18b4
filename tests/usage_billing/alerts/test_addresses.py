"""Public and private addresses."""

from __future__ import annotations

import pytest

from usage_billing.alerts import addresses
from usage_billing.alerts.problems import DeliveryError


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public(address: str) -> None:
    assert addresses.is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0.0.0.0",  # noqa: S104
        "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fd00::1", "fe80::1", "fe80::1%eth0", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1", "2001:db8::1",
        "fec0::1",
    ],
)  # fmt: skip
def test_private(address: str) -> None:
    assert not addresses.is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost/", "http://2130706433/", "http://0x7f.1/", "http://127.1/",
        "http://[::1]/", "http://[::ffff:7f00:1]/", "http://0/",
    ],
)  # fmt: skip
def test_every_way_to_write_this_machine_is_private(url: str) -> None:
    host = addresses.split(url).hostname
    assert host is not None
    with pytest.raises(DeliveryError, match="private address") as refused:
        addresses.resolve(host, 80, allow_private=False)
    assert refused.value.is_final
    assert addresses.resolve(host, 80, allow_private=True)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "file:///etc/passwd", "gopher://x/", "example.com", "", "http://", "https://user:pw@example.com/",
     "https://example.com:port/", "http://[::1/", "https://exa\nmple.com/hook", "https://example.com/\x01",
     "http://\u2603.net/", "http://[v1.a]/"],
)  # fmt: skip
def test_what_is_no_address_is_refused_for_good(url: str) -> None:
    with pytest.raises(DeliveryError) as refused:
        addresses.split(url)
    assert refused.value.is_final


def test_one_private_address_among_public_ones_is_refused() -> None:
    with pytest.raises(DeliveryError):
        addresses.check("example.com", ["8.8.8.8", "10.0.0.1"])
