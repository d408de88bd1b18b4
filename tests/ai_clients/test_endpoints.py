"""Which requests are recorded, and as what."""

from __future__ import annotations

import httpx2
import pytest

from ai_clients.endpoints import Address, Route, address_of, destination_of, region_of, route_of


@pytest.mark.parametrize(
    ("path", "flavour"),
    [
        (b"/v1/chat/completions", "chat"),
        (b"/openai/deployments/gpt/chat/completions?api-version=2024-10-21", "chat"),
        (b"/v1/completions", "chat"),
        (b"/v1/responses/", "responses"),
        (b"/v1/responses/compact", "responses"),
        (b"/v1/embeddings", "embeddings"),
        (b"/v1/images/generations", "images"),
        (b"/v1/images/edits", "images"),
        (b"/v1/images/variations", "images"),
        (b"/v1/audio/transcriptions", "transcription"),
        (b"/v1/audio/translations", "transcription"),
        (b"/v1/audio/speech", "speech"),
        (b"/v1/messages", "messages"),
        (b"/anthropic/v1/messages?beta=true", "messages"),
    ],
)
def test_route_of_a_post_that_makes_an_answer(path: bytes, flavour: str) -> None:
    assert route_of("POST", path) == Route("create", flavour)  # type: ignore[arg-type]
    assert route_of("DELETE", path) is None


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", b"/v1/responses/resp_1", Route("settle", "responses")),
        ("GET", b"/v1/responses/resp_1?stream=true&starting_after=4", Route("settle", "responses")),
        ("POST", b"/v1/responses/resp_1/cancel", Route("settle", "responses")),
        ("GET", b"/v1/files/file-1/content", Route("batch", "chat")),
        ("GET", b"/v1/messages/batches/msgbatch_1/results", Route("batch", "messages")),
        ("GET", b"/v1/messages/batches/msgbatch_1/results?beta=true", Route("batch", "messages")),
    ],
)
def test_route_of_a_fetch(method: str, path: bytes, route: Route) -> None:
    assert route_of(method, path) == route


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", b"/v1/messages/count_tokens"),
        ("POST", b"/v1/messages/batches"),
        ("POST", b"/v1/messages/batches/msgbatch_1/cancel"),
        ("GET", b"/v1/messages/batches/msgbatch_1"),
        ("POST", b"/v1/threads/thread_1/messages"),
        ("POST", b"/v1/threads/thread_1/runs"),
        ("POST", b"/v1/chat/completions/chatcmpl-1"),
        ("GET", b"/v1/chat/completions/chatcmpl-1"),
        ("GET", b"/v1/chat/completions/chatcmpl-1/messages"),
        ("GET", b"/v1/chat/completions"),
        ("POST", b"/v1/responses/input_tokens"),
        ("GET", b"/v1/responses/resp_1/input_items"),
        ("DELETE", b"/v1/responses/resp_1"),
        ("POST", b"/v1/moderations"),
        ("POST", b"/v1/files"),
        ("GET", b"/v1/files/file-1"),
        ("POST", b"/v1/batches"),
        ("GET", b"/v1/models"),
        ("GET", b"/v1/models?x=/responses/resp_1"),
        ("POST", b"/v1/models?x=/embeddings"),
        ("POST", b"/\xff"),
    ],
)
def test_route_of_what_bills_nothing_is_none(method: str, path: bytes) -> None:
    assert route_of(method, path) is None


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (b"api.openai.com", ""),
        (b"us.api.openai.com", "us"),
        (b"eu.api.openai.com", "eu"),
        (b"mtls.api.openai.com", ""),
        (b"a.b.api.openai.com", ""),
        (b"eu.api.openai.com.evil.test", ""),
        (b"api.anthropic.com", ""),
        (b"localhost", ""),
    ],
)
def test_region_of_host(host: bytes, region: str) -> None:
    assert region_of(host) == region


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://api.openai.com/v1/responses", Address("https://api.openai.com/v1/responses", "")),
        ("https://eu.api.openai.com/v1/images?x=1", Address("https://eu.api.openai.com/v1/images", "eu")),
        ("https://user:secret@host:443/a?key=sk-x#part", Address("https://host/a", "")),
        ("http://HOST:8080", Address("http://host:8080/", "")),
        ("http://[::1]:8080/v1/a%20b/%D0%B9", Address("http://[::1]:8080/v1/a b/й", "")),
        ("https://пример.рф/v1", Address("https://xn--e1afmkfd.xn--p1ai/v1", "")),
    ],
)
def test_address_of_a_url_is_without_query_and_credentials(url: str, address: Address) -> None:
    parsed = httpx2.URL(url)
    assert address_of(parsed.raw_scheme, parsed.raw_host, parsed.port, parsed.raw_path) == address
    assert address.url == f"{parsed.scheme}://{parsed.netloc.decode('ascii')}{parsed.path}"


def test_destination_of_a_call_is_its_route_and_address() -> None:
    found = destination_of("POST", b"https", b"eu.api.openai.com", None, b"/v1/responses?x=1")
    assert found == (Route("create", "responses"), Address("https://eu.api.openai.com/v1/responses", "eu"))
    assert destination_of("POST", b"https", b"api.openai.com", None, b"/v1/responses?x=1") != found
    assert destination_of("GET", b"https", b"eu.api.openai.com", None, b"/v1/models") is None
