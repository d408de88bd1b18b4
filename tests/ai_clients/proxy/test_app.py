"""What passes through the proxy and what does not: real HTTP, a process of its own, a scripted provider."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import psutil
import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tests.support import factories, spending
from tests.support.configure import configure
from tests.support.loopback import Answered, Received, of_json
from tests.support.proxied import SCRIPT, SECRET, Proxied, a_second, token
from tests.support.reliability.world import times, wait_until
from tests.support.scripted import CHAT, CHAT_ANSWER, MESSAGE, chat_chunk, chat_events, sse
from usage_billing.auth import service_tokens
from usage_billing.ledger import writer
from usage_billing.models import Organization, ProviderKey, ServiceToken
from usage_billing.tenancy.scope import EVERYTHING

ENGLISH = {"accept-language": "en"}
PLAIN = [json.dumps(CHAT_ANSWER).encode()]


def post(
    proxy: Proxied, key: str, body: Any = CHAT, path: str = "", script: str = "", **options: Any
) -> httpx2.Response:
    """Send a request as OpenAI's clients do."""
    headers = {"authorization": f"Bearer {key}", SCRIPT: script, **ENGLISH, **options.pop("headers", {})}
    content = options.pop("content", None)
    sent = {"content": content} if content is not None else {"json": body}
    return httpx2.post(f"{proxy.openai}{path or '/chat/completions'}", headers=headers, timeout=60, **sent, **options)


def answers(proxy: Proxied, *chunks: bytes, **options: Any) -> None:
    proxy.scripts[""] = lambda _received: Answered(chunks or PLAIN, **options)


# ── Headers and secrets ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_provider_gets_the_key_and_nothing_that_is_for_the_proxy(proxy: Proxied, org: Organization) -> None:
    answers(proxy)
    key = token(org)
    headers = {
        "x-api-key": key,
        "cookie": "session=1",
        "x-forwarded-for": "10.0.0.7",
        "x-copy": f"of {key}",
        "connection": "keep-alive, x-of-this-hop",
        "x-of-this-hop": "1",
        "x-ai-costs-agent": "translator",
        "openai-beta": "assistants=v2",
        "accept-encoding": "br;q=0.1",
    }
    assert post(proxy, key, headers=headers).status_code == 200
    assert post(proxy, key, headers={"x-ai-costs-type": "chat"}, path="/responses?x=%2F&y=1").status_code == 200
    first, second = proxy.provider.requests
    got = {name.lower(): value for name, value in first.headers.items()}
    assert got["authorization"] == f"Bearer {SECRET}"
    assert (got["openai-beta"], got["accept-encoding"]) == ("assistants=v2", "br;q=0.1")
    assert json.loads(first.body) == CHAT
    assert second.path == "/v1/responses?x=%2F&y=1"
    assert {"cookie", "x-forwarded-for", "x-copy", "x-of-this-hop", "x-api-key"}.isdisjoint(got)
    for received in proxy.provider.requests:
        everything = f"{received.path} {received.headers}".encode() + received.body
        assert b"aic_" not in everything
        assert b"x-ai-costs" not in everything


def test_anthropics_key_goes_into_its_own_header(proxy: Proxied, org: Organization) -> None:
    answers(proxy)
    headers = {"x-api-key": token(org), "anthropic-version": "2023-06-01"}
    assert httpx2.post(f"{proxy.anthropic}/v1/messages", json=MESSAGE, headers=headers).status_code == 200
    got = {name.lower(): value for name, value in proxy.provider.requests[0].headers.items()}
    assert (got["x-api-key"], got["anthropic-version"]) == (SECRET, "2023-06-01")
    assert "authorization" not in got


def test_the_answer_passes_as_it_is_but_for_the_headers_of_the_providers_host(
    proxy: Proxied, org: Organization
) -> None:
    packed = gzip.compress(PLAIN[0])
    of_host = {"set-cookie": "a=b", "alt-svc": "h3", "strict-transport-security": "max-age=1"}
    headers = {"content-encoding": "gzip", "x-ratelimit-remaining-requests": "7", "x-echo": SECRET, **of_host}
    answers(proxy, packed, status=201, headers=headers)
    with httpx2.stream(
        "POST", f"{proxy.openai}/chat/completions", json=CHAT, headers={"authorization": f"Bearer {token(org)}"}
    ) as response:
        assert b"".join(response.iter_raw()) == packed
    assert response.status_code == 201
    assert (response.headers["content-encoding"], response.headers["x-ratelimit-remaining-requests"]) == ("gzip", "7")
    assert {*of_host, "x-echo"}.isdisjoint(response.headers)
    assert proxy.events()[0].model == CHAT_ANSWER["model"]


def test_redirects_are_not_followed(proxy: Proxied, org: Organization) -> None:
    answers(proxy, status=307, headers={"location": f"{proxy.provider.url}/elsewhere"})
    assert post(proxy, token(org), follow_redirects=False).status_code == 307
    assert len(proxy.provider.requests) == 1


@pytest.mark.parametrize("status", [400, 429, 500, 529])
def test_errors_of_the_provider_pass_and_are_sent_once(status: int, proxy: Proxied, org: Organization) -> None:
    body = json.dumps({"error": {"message": "No.", "code": "that_way"}}).encode()
    answers(proxy, body, status=status)
    response = post(proxy, token(org))
    assert (response.status_code, response.content) == (status, body)
    assert len(proxy.provider.requests) == 1
    assert [(event.status, event.error_code) for event in proxy.events()] == [("failed", f"{status} that_way")]


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("status", [401, 403])
def test_no_error_shows_the_key(status: int, encoding: str, proxy: Proxied, org: Organization) -> None:
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {SECRET}"}}).encode()
    sent = gzip.compress(body) if encoding else body
    answers(proxy, sent, status=status, headers={"content-encoding": encoding} if encoding else {})
    response = post(proxy, token(org))
    assert response.status_code == 502
    assert SECRET not in response.text + str(response.headers)
    code = response.json()["error"]["code"]
    assert code == ("provider_key_refused" if status == 401 else "provider_error")
    assert [event.error_code for event in proxy.events()] == [str(status)]
    log = proxy.log.read_text()
    assert SECRET not in log
    assert "aic_" not in log


# ── Who may call ─────────────────────────────────────────────────────────────────────────────────────────────────────


def refused(proxy: Proxied, key: str, **options: Any) -> tuple[int, str]:
    """The refusal in OpenAI's shape, which is in Anthropic's too where Anthropic is called."""
    before = len(proxy.provider.requests)
    response = post(proxy, key, **options)
    error = response.json()["error"]
    assert {"message", "type", "code"} <= error.keys()
    headers = {"x-api-key": key, **ENGLISH, **options.get("headers", {})}
    content = {"content": options["content"]} if "content" in options else {"json": options.get("body", MESSAGE)}
    other = httpx2.post(f"{proxy.anthropic}/v1/messages", headers=headers, **content)
    assert other.status_code == response.status_code
    assert other.json()["type"] == "error"
    assert other.json()["error"]["message"].replace("Anthropic", "OpenAI") == error["message"]
    assert len(proxy.provider.requests) == before, "it was sent"
    assert key not in response.text or not key
    return response.status_code, error["code"]


def test_whoever_may_not_call_is_refused_in_the_providers_shape(proxy: Proxied, org: Organization) -> None:
    assert refused(proxy, "sk-proj-of-the-provider") == (401, "service_token_missing")
    assert refused(proxy, "aic_made-up") == (401, "service_token_not_valid")
    assert refused(proxy, token(org, scopes=("ingest", "read"))) == (403, "service_token_scope")
    ended = token(org)
    ServiceToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert refused(proxy, ended) == (401, "service_token_not_valid")
    assert proxy.events() == []


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-ai-costs-agnt", "translator"),
        ("x-ai-costs-tags", "no-value"),
        ("x-ai-costs-tags", "k=v,k=w"),
        ("x-ai-costs-tags", "k k=v"),
        ("x-ai-costs-agent", "%FF"),
        ("x-ai-costs-type", "a%0Ab"),
        ("x-ai-costs-agent", "a" * 256),
    ],
)
def test_an_unreadable_attribution_is_refused(header: str, value: str, proxy: Proxied, org: Organization) -> None:
    assert refused(proxy, token(org), headers={header: value}) == (400, "attribution_not_readable")


def test_a_request_that_is_too_large_is_refused(proxy: Proxied, org: Organization) -> None:
    content = b'{"model": "gpt-4.1-mini", "input": "' + b"x" * 2**20 + b'"}'
    assert refused(proxy, token(org), content=content) == (413, "request_too_large")

    def pieces() -> Iterator[bytes]:
        yield content

    headers = {"authorization": f"Bearer {token(org)}", **ENGLISH}
    response = httpx2.post(f"{proxy.openai}/responses", headers=headers, content=pieces())
    assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")


def test_a_provider_without_a_key_is_refused_with_what_to_do(proxy: Proxied) -> None:
    ProviderKey.objects.all().delete()
    key = token(factories.organization())
    wait_until(lambda: refused(proxy, key) == (503, "provider_key_missing"))


def test_a_token_may_call_its_models_alone(proxy: Proxied, org: Organization) -> None:
    answers(proxy)
    key = token(org, allowed_models=["gpt-4.1-*", "claude-haiku-4-5"])
    assert refused(proxy, key, body={**CHAT, "model": "o3"}) == (403, "model_not_allowed")
    assert refused(proxy, key, body={"messages": []}) == (403, "model_not_allowed")
    assert post(proxy, key).status_code == 200
    assert httpx2.get(f"{proxy.openai}/models", headers={"authorization": f"Bearer {key}"}).status_code == 200


def test_a_revoked_token_ends_with_its_stream(proxy: Proxied, org: Organization) -> None:
    """The running stream goes on to its end; the next request is refused."""
    may_end, events = threading.Event(), chat_events(asked=True)

    def chunks() -> Iterator[bytes]:
        yield events[0]
        assert may_end.wait(60)
        yield from events[1:]

    proxy.scripts["stream"] = lambda _received: Answered(chunks(), content_type="text/event-stream")
    key = token(org)
    with httpx2.stream(
        "POST", f"{proxy.openai}/chat/completions", headers={"authorization": f"Bearer {key}", SCRIPT: "stream"},
        json={**CHAT, "stream": True, "stream_options": {"include_usage": True}},
    ) as response:  # fmt: skip
        pieces = response.iter_raw()
        first = next(pieces)
        service_tokens.revoke(ServiceToken.objects.get(), scope=EVERYTHING, by="tests")
        a_second()
        assert post(proxy, key).status_code == 401
        may_end.set()
        assert first + b"".join(pieces) == b"".join(events)
    assert [(event.status, event.attribution.org_id) for event in proxy.events()] == [("succeeded", org.pk)]


def test_a_budget_stops_calls_in_the_providers_shape(proxy: Proxied, org: Organization, settings: Settings) -> None:
    answers(proxy)
    key = token(org)
    # Budgets are published beside the outbox, for all processes that share it.
    configure(settings, OUTBOX_PATH=str(proxy.outbox))
    spending.budget(org, "1", unit="calls")
    writer.add([factories.event(org=org.pk)])
    wait_until(lambda: post(proxy, key).status_code == 429, seconds=60)
    assert refused(proxy, key) == (429, "budget_exceeded")
    assert proxy.events()[-1].status == "refused"


# ── Attribution ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_headers_attribute_a_call_and_the_token_decides_the_organisation(proxy: Proxied, org: Organization) -> None:
    answers(proxy)
    other = factories.organization()
    member = factories.member(org)
    told = {
        "x-ai-costs-agent": "translator",
        "x-ai-costs-type": "chat",
        "x-ai-costs-user": str(member.pk),
        "x-ai-costs-workflow": "0071",
        "x-ai-costs-content": "post-1",
        "x-ai-costs-tags": "team=%D0%BF%D0%BE%D1%87%D1%82%D0%B0, service_token=forged",
    }
    post(proxy, token(org), headers=told)
    post(proxy, token(None, name="gateway"), headers={"x-ai-costs-org": other.slug})
    post(proxy, token(None, name="gateway"))
    assert post(proxy, token(org), headers={"x-ai-costs-org": other.slug}).status_code == 400
    first, second, third = (event.attribution for event in proxy.events())
    whose = (first.org_id, first.agent_id, first.request_type, first.user_id)
    assert whose == (org.pk, "translator", "chat", member.pk)
    assert (first.workflow_id, first.content_id) == ("0071", "post-1")
    assert first.tags == {"service_token": "program", "team": "почта"}
    assert (second.org_id, second.tags) == (other.pk, {"service_token": "gateway"})
    assert third.org_id is None


def test_a_token_of_an_organisation_names_its_members_alone(proxy: Proxied, org: Organization) -> None:
    """An owner would read the names of other tenants' users in the breakdown by user."""
    answers(proxy)
    member, stranger = factories.member(org), factories.member(factories.organization())
    for name in (str(member.pk), member.get_username(), str(stranger.pk), stranger.get_username(), "nobody"):
        assert post(proxy, token(org, name=f"for {name}"), headers={"x-ai-costs-user": name}).status_code == 200
    assert post(proxy, token(None), headers={"x-ai-costs-user": str(stranger.pk)}).status_code == 200

    told = [(event.attribution.user_id, event.attribution.metadata.get("user_id")) for event in proxy.events()]

    assert told == [
        (member.pk, None),
        (member.pk, None),
        (None, str(stranger.pk)),
        (None, stranger.get_username()),
        (None, "nobody"),
        (stranger.pk, None),
    ]


# ── Streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def streaming(proxy: Proxied, key: str, script: str) -> Iterator[httpx2.Response]:
    with httpx2.stream(
        "POST", f"{proxy.openai}/chat/completions", headers={"authorization": f"Bearer {key}", SCRIPT: script},
        json={**CHAT, "stream": True}, timeout=60,
    ) as response:  # fmt: skip
        yield response


def stalled(proxy: Proxied, name: str, *events: bytes, ended: threading.Semaphore | None = None) -> threading.Event:
    """Script a stream that sends these events, and then a comment whenever the connection still takes one."""
    go_on = threading.Event()

    def chunks() -> Iterator[bytes]:
        try:
            yield from events
            while not go_on.wait(0.05):
                yield b": still there\n\n"
        finally:
            if ended is not None:
                ended.release()

    proxy.scripts[name] = lambda _received: Answered(chunks(), content_type="text/event-stream")
    return go_on


def test_a_stream_comes_piece_by_piece(proxy: Proxied, org: Organization) -> None:
    """The provider sends the next event only when the client has the one before."""
    got, events = threading.Semaphore(1), sse(*(chat_chunk(word) for word in ("One", "two", "three")), "[DONE]")

    def chunks() -> Iterator[bytes]:
        for event in events:
            assert got.acquire(timeout=60)
            yield event

    proxy.scripts["stepwise"] = lambda _received: Answered(chunks(), content_type="text/event-stream")
    with streaming(proxy, token(org), "stepwise") as response:
        received = b""
        for piece in response.iter_raw():
            received += piece
            got.release()
    assert received == b"".join(events)


def test_a_client_that_hangs_up_ends_the_call_and_it_is_recorded(proxy: Proxied, org: Organization) -> None:
    ended = threading.Semaphore(0)
    stalled(proxy, "endless", *sse(chat_chunk("One")), ended=ended)
    with streaming(proxy, token(org), "endless") as response:
        assert b"One" in next(response.iter_raw())
    assert ended.acquire(timeout=60), "the provider still sends"
    wait_until(lambda: [event.status for event in proxy.events()] == ["aborted"], seconds=60)


def test_a_client_that_hangs_up_before_the_answer_is_recorded(proxy: Proxied, org: Organization) -> None:
    """The provider has the whole request: it may bill it."""
    silence = threading.Event()

    def answer(_received: Received) -> Answered:
        silence.wait(60)
        return of_json(CHAT_ANSWER)

    proxy.scripts["silent"] = answer
    key = token(org)
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(
            f"{proxy.openai}/chat/completions", json=CHAT, headers={"authorization": f"Bearer {key}", SCRIPT: "silent"},
            timeout=httpx2.Timeout(30, read=1),
        )  # fmt: skip
    wait_until(lambda: [event.status for event in proxy.events()] == ["aborted"], seconds=60)
    silence.set()
    (event,) = proxy.events()
    assert (event.model, event.error_code) == ("gpt-4.1-mini", "CancelledError")


def test_a_provider_that_breaks_off_breaks_off_for_the_client_too(proxy: Proxied, org: Organization) -> None:
    event = sse(chat_chunk("One"))[0]
    proxy.scripts["cut"] = lambda _received: Answered([event], content_type="text/event-stream", breaks_off=True)
    with streaming(proxy, token(org), "cut") as response:
        pieces = response.iter_raw()
        assert next(pieces) == event
        with pytest.raises(httpx2.RemoteProtocolError):
            next(pieces)
    assert [told.status for told in proxy.events()] == ["aborted"]
    assert "Traceback" not in proxy.log.read_text()


def test_an_error_that_breaks_off_is_told(proxy: Proxied, org: Organization) -> None:
    answers(proxy, b'{"error": ', status=500, breaks_off=True)
    response = post(proxy, token(org))
    assert (response.status_code, response.json()["error"]["code"]) == (502, "provider_not_reached")
    assert [event.error_code for event in proxy.events()] == ["500"]


def test_a_provider_that_is_not_there(proxy: Proxied, org: Organization) -> None:
    def hang_up(_received: Received) -> Answered:
        raise ConnectionResetError

    proxy.scripts[""] = hang_up
    response = post(proxy, token(org))
    assert (response.status_code, response.json()["error"]["code"]) == (502, "provider_not_reached")
    assert [event.status for event in proxy.events()] == ["aborted"]


def test_memory_stays_flat_over_many_streams(proxy: Proxied, org: Organization) -> None:
    """Waves of streams that stall and are given up by their clients: the last wave needs no more than the second.

    With SOAK=1, for about an hour.
    """
    streams, waves = 40, times(4, 2000)
    key, server = token(org), psutil.Process(proxy.process.pid)
    ended = threading.Semaphore(0)
    filler = sse(chat_chunk("x" * 60_000))
    stalled(proxy, "endless", *filler, ended=ended)
    used: list[tuple[int, int]] = []

    def opened(_number: int) -> None:
        with streaming(proxy, key, "endless") as response:
            next(response.iter_raw())
            barrier.wait(60)

    for _ in range(waves):
        barrier = threading.Barrier(streams, action=lambda: None)
        with ThreadPoolExecutor(streams) as clients:
            list(clients.map(opened, range(streams)))
        for _ended in range(streams):
            assert ended.acquire(timeout=60)
        used.append((server.memory_info().rss, server.num_fds()))
    recorded = min(streams * waves, 10_000 - proxy.of_before)  # `Recorded` reads no more
    wait_until(lambda: len(proxy.events()) == recorded, seconds=60)
    memory, files = zip(*used, strict=True)
    assert memory[-1] - memory[1] < 12 * 2**20
    assert files[-1] <= files[1] + 5, files


# ── What the proxy does not do ───────────────────────────────────────────────────────────────────────────────────────


def test_other_addresses_and_websockets_are_refused(proxy: Proxied, org: Organization) -> None:
    key = {"authorization": f"Bearer {token(org)}", **ENGLISH}
    for path in ("/proxy/", "/proxy/openai", "/proxy/openai/v1/%2e%2e/x", "/proxy/mistral/v1/chat", "/proxy/openai/x"):
        response = httpx2.post(f"{proxy.url}{path}", headers=key)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "address_not_known"), path
    with socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2]))) as raw:
        head = f"GET /proxy/openai/v1/\xff HTTP/1.1\r\nhost: a\r\nauthorization: {key['authorization']}\r\n\r\n"
        raw.sendall(head.encode("latin-1"))
        assert raw.recv(12) in (b"HTTP/1.1 404", b"HTTP/1.1 400")
    asked = {**key, "connection": "Upgrade", "upgrade": "websocket"}
    response = httpx2.get(f"{proxy.openai}/realtime?model=gpt-realtime", headers=asked)
    assert (response.status_code, response.json()["error"]["code"]) == (501, "websockets_not_supported")
    assert proxy.provider.requests == []


def test_the_pages_are_served_beside_it(proxy: Proxied) -> None:
    assert httpx2.get(f"{proxy.url}/login/").status_code == 200


def test_under_wsgi_it_says_what_to_do(client: Client) -> None:
    for method in ("get", "post"):
        response = getattr(client, method)("/proxy/anthropic/v1/messages", headers=ENGLISH)
        assert (response.status_code, response["x-should-retry"]) == (501, "false")
        assert response.json()["type"] == "error"
        assert "run_proxy" in response.json()["error"]["message"]
