"""The key goes to the provider alone, and an organisation with the key of all reaches only calls."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import httpx2
import pytest

from ai_clients.proxy import bounds
from ai_clients.proxy.errors import RefusedError
from tests.support import factories
from tests.support.loopback import Answered
from tests.support.proxied import SCRIPT, SECRET, Proxied, a_second, token
from usage_billing.auth import provider_keys
from usage_billing.models import Organization
from usage_billing.tenancy.scope import EVERYTHING


def raw(proxy: Proxied, target: str, key: str) -> bytes:
    """Send a request with this target as it is; HTTP clients would write it anew. Returns the status line."""
    parts = urlsplit(proxy.url)
    head = f"POST {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{SCRIPT}: \r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(f"{head}content-length: 2\r\n\r\n{{}}".encode())
        return connection.makefile("rb").readline()


def test_no_address_leads_the_key_to_another_host(proxy: Proxied) -> None:
    key, port = token(None), urlsplit(proxy.provider.url).port
    proxy.scripts[""] = lambda _received: Answered([b"{}"])
    for prefix in ("openai", "anthropic"):
        for target in (
            f"/proxy/{prefix}%2Fv1%2F@127.0.0.1:{port}/v1/messages",
            f"/proxy/{prefix}%2Fv1%2F.example.com/v1/messages",
            f"/proxy/{prefix}%40127.0.0.1:{port}/v1/messages",
            f"/proxy/{prefix}@127.0.0.1:{port}/v1/messages",
            f"/proxy/{prefix}:1/v1/messages",
            f"/proxy/{prefix}%3A1%2F/v1/messages",
            f"http://127.0.0.1:{port}/proxy/{prefix}%2Fv1%2F@127.0.0.1:{port}/v1/messages",
        ):
            assert raw(proxy, target, key).split()[1] in (b"400", b"404"), target
    assert proxy.provider.requests == []
    assert raw(proxy, "/proxy/openai/v1/embeddings", key).split()[1] == b"200"
    (received,) = proxy.provider.requests
    assert received.headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/files"), ("GET", "/files/file-1/content"), ("DELETE", "/files/file-1"), ("POST", "/batches"),
        ("GET", "/messages/batches/b/results"), ("GET", "/responses/resp_1"), ("GET", "/chat/completions"),
        ("POST", "/responses/resp_1/cancel"), ("POST", "/threads"), ("GET", "/organization/projects"),
    ],
)  # fmt: skip
def test_what_lies_in_the_account_of_all_is_not_for_one_organisation(method: str, path: str) -> None:
    with pytest.raises(RefusedError) as refused:
        bounds.check(method, path, is_shared=True)
    assert (refused.value.status, refused.value.code) == (403, "shared_key")
    bounds.check(method, path, is_shared=False)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/chat/completions"), ("POST", "/responses"), ("POST", "/messages"),
        ("POST", "/messages/count_tokens"), ("POST", "/embeddings"), ("POST", "/images/generations"),
        ("POST", "/audio/transcriptions"), ("GET", "/models"), ("GET", "/models/gpt-4.1-mini"),
    ],
)  # fmt: skip
def test_calls_pass_with_the_key_of_all(method: str, path: str) -> None:
    bounds.check(method, path, is_shared=True)


@pytest.mark.parametrize("path", ["/realtime/client_secrets", "/realtime/calls", "/live/sessions", "/chatkit/sessions"])
def test_no_credentials_of_the_provider_are_handed_out(path: str) -> None:
    with pytest.raises(RefusedError) as refused:
        bounds.check("POST", path, is_shared=False)
    assert refused.value.code == "session_not_passed"


def test_an_organisation_with_a_key_of_its_own_reaches_its_files(proxy: Proxied, org: Organization) -> None:
    proxy.scripts[""] = lambda _received: Answered([b"{}"])
    key, headers = token(org), {SCRIPT: "", "accept-language": "en"}

    def status(key: str) -> int:
        return httpx2.get(f"{proxy.openai}/files", headers={"authorization": f"Bearer {key}", **headers}).status_code

    assert status(key) == 403
    assert status(token(None)) == 200
    other = factories.organization()
    provider_keys.save(scope=EVERYTHING, by="boss", org=other, provider="openai", secret="sk-of-the-organisation-own")
    a_second()
    assert status(token(other)) == 200
    assert status(key) == 403
