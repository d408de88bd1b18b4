"""The requests that are recorded, and their APIs."""

from __future__ import annotations

import httpx2
import pytest

from ai_clients import endpoints
from ai_clients.endpoints import Endpoint, Mark, Purpose, add_base_url, endpoint_of
from usage_billing.recording.event import Flavour


def kind_of(method: str, raw_path: bytes) -> tuple[Purpose, Flavour] | None:
    found = endpoint_of(method, b"https", b"api.openai.com", None, raw_path)
    return (found.purpose, found.flavour) if found else None


@pytest.mark.parametrize(
    ("path", "flavour"),
    [
        (b"/v1/chat/completions", "chat"),
        (b"/openai/deployments/gpt/chat/completions?api-version=2024-10-21", "chat"),
        (b"/v1/completions", "chat"),
        (b"/v1/responses/", "responses"),
        (b"/v1/responses/compact", "responses"),
        (b"/v1/decisions", "decisions"),
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
def test_endpoint_of_a_post_that_makes_an_answer(path: bytes, flavour: str) -> None:
    assert kind_of("POST", path) == ("create", flavour)
    assert kind_of("DELETE", path) is None


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", b"/v1/responses/resp_1", ("complete", "responses")),
        ("GET", b"/v1/responses/resp_1?stream=true&starting_after=4", ("complete", "responses")),
        ("POST", b"/v1/responses/resp_1/cancel", ("complete", "responses")),
        ("GET", b"/v1/files/file-1/content", ("batch", "chat")),
        ("GET", b"/v1/messages/batches/msgbatch_1/results", ("batch", "messages")),
        ("GET", b"/v1/messages/batches/msgbatch_1/results?beta=true", ("batch", "messages")),
    ],
)
def test_endpoint_of_a_fetch(method: str, path: bytes, kind: tuple[Purpose, Flavour]) -> None:
    assert kind_of(method, path) == kind


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", b"/v1/messages/count_tokens"),
        ("POST", b"/v1/threads/thread_1/messages"),
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
        ("GET", b"/v1/models"),
        ("GET", b"/v1/models?x=/responses/resp_1"),
        ("POST", b"/v1/models?x=/embeddings"),
    ],
)
def test_request_that_bills_nothing_has_no_endpoint(method: str, path: bytes) -> None:
    assert kind_of(method, path) is None


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
def test_endpoint_has_the_region_of_its_host(host: bytes, region: str) -> None:
    found = endpoint_of("POST", b"https", host, None, b"/v1/responses", Mark("/responses"))
    assert found is not None
    assert found.region == region


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://api.openai.com/v1/responses", "https://api.openai.com/v1/responses"),
        ("https://eu.api.openai.com/v1/embeddings?x=1", "https://eu.api.openai.com/v1/embeddings"),
        ("https://user:secret@host:443/responses?key=sk-x#part", "https://host/responses"),
        ("http://HOST:8080/responses", "http://host:8080/responses"),
        ("http://[::1]:8080/v1/a%20b/%D0%B9/responses", "http://[::1]:8080/v1/a b/й/responses"),
        ("https://пример.рф/responses", "https://xn--e1afmkfd.xn--p1ai/responses"),
    ],
)
def test_url_of_an_endpoint_is_without_query_and_credentials(url: str, known: str) -> None:
    parsed = httpx2.URL(url)
    mark = Mark("/responses")
    found = endpoint_of("POST", parsed.raw_scheme, parsed.raw_host, parsed.port, parsed.raw_path, mark)
    assert found is not None
    assert found.url == known == f"{parsed.scheme}://{parsed.netloc.decode('ascii')}{parsed.path}"


def test_endpoint_of_a_call() -> None:
    found = endpoint_of("POST", b"https", b"eu.api.openai.com", None, b"/v1/responses?x=1")
    assert found == Endpoint("create", "responses", "https://eu.api.openai.com/v1/responses", "eu")
    assert endpoint_of("POST", b"https", b"api.openai.com", None, b"/v1/responses?x=1") != found


@pytest.mark.parametrize(
    ("method", "path", "url"),
    [
        ("POST", b"/v1/brand_new", "https://api.openai.com/v1/brand_new"),
        ("GET", b"/v1/brand_new/thing_1", "https://api.openai.com/v1/brand_new/thing_1"),
        ("PUT", b"/v1/brand_new", "https://api.openai.com/v1/brand_new"),
        ("POST", b"/v2beta1/brand-new", "https://api.openai.com/v1/brand-new"),
        ("POST", b"/\xff", "https://api.openai.com/v1/\ufffd"),
    ],
)
def test_endpoint_that_is_not_known_is_recorded(method: str, path: bytes, url: str) -> None:
    found = endpoint_of(method, b"https", b"api.openai.com", None, path)
    assert found == Endpoint("create", "unknown", url)


@pytest.mark.parametrize("method", ["DELETE", "HEAD", "OPTIONS"])
def test_method_that_bills_nothing_has_no_endpoint(method: str) -> None:
    assert kind_of(method, b"/v1/brand_new") is None


@pytest.mark.parametrize(
    ("host", "is_provider"),
    [
        (b"api.openai.com", True),
        (b"eu.api.openai.com", True),
        (b"acme.openai.azure.com", True),
        (b"acme.services.ai.azure.com", True),
        (b"bedrock-runtime.us-east-1.amazonaws.com", True),
        (b"bedrock-mantle.us-east-1.api.aws", True),
        (b"aiplatform.googleapis.com", True),
        (b"us-east5-aiplatform.googleapis.com", True),
        (b"surveys.example.com", False),
        (b"api.openai.com.example.com", False),
        (b"notapi.openai.com", False),
    ],
)
def test_request_that_no_client_built_is_recorded_at_a_providers_host(host: bytes, is_provider: bool) -> None:
    found = endpoint_of("POST", b"https", host, None, b"/v1/forms/3/responses")
    assert (found is not None) == is_provider


def test_request_that_no_client_built_is_recorded_below_a_clients_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "_base_urls", set())
    add_base_url(b"https", b"gateway.example.com", 8443, "/secret/openai/v1/")

    def found(path: bytes, port: int = 8443) -> Endpoint | None:
        return endpoint_of("POST", b"https", b"gateway.example.com", port, path)

    assert found(b"/secret/openai/v1/chat/completions") is not None
    assert found(b"/secret/openai/v1/chat/completions", port=443) is None
    assert found(b"/forms/3/responses") is None
    assert found(b"/secret/openai/v1/health") is None
    endpoint_of.cache_clear()


def test_marked_path_is_the_endpoint_wherever_the_base_url_leads() -> None:
    raw = b"/a-secret/models/openai/new_thing"
    found = endpoint_of("POST", b"https", b"gateway.example.com", None, raw, Mark("/new_thing"))
    assert found == Endpoint("create", "unknown", "https://gateway.example.com/v1/new_thing")
    listed = endpoint_of("GET", b"https", b"gateway.example.com", None, b"/a-secret/models", Mark("/models"))
    assert listed is None
