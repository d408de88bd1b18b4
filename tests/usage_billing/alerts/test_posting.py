"""Posting to servers that hang, drip, redirect, lie about their name, or move between two look-ups."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support import loopback
from tests.support.loopback import Answered
from usage_billing.alerts import addresses, posting
from usage_billing.alerts.posting import LARGEST_ANSWER, Answer
from usage_billing.alerts.problems import DeliveryError

OK = Answered([b"ok"])


def post(url: str, *, allow_private: bool = True) -> Answer:
    return posting.post(url, b"{}", {"Content-Type": "application/json"}, allow_private=allow_private)


def test_a_message_arrives() -> None:
    with loopback.serving(lambda _: OK) as server:
        answer = post(f"{server.url}/hook?a=b")
        port = server.url.rpartition(":")[2]
    (received,) = server.requests
    assert (answer.status, answer.body) == (200, b"ok")
    assert (received.path, received.body) == ("/hook?a=b", b"{}")
    assert received.headers["Host"] == f"127.0.0.1:{port}"


def test_private_addresses_are_refused_before_anything_is_sent() -> None:
    with loopback.serving(lambda _: OK) as server, pytest.raises(DeliveryError, match="private") as refused:
        post(server.url, allow_private=False)
    assert refused.value.is_final
    assert server.requests == []


def test_redirects_are_not_followed() -> None:
    with loopback.serving(lambda _: OK) as inner:
        moved = Answered([b""], status=302, headers={"Location": f"{inner.url}/latest/meta-data"})
        with loopback.serving(lambda _: moved) as server:
            answer = post(server.url)
    assert inner.requests == []
    with pytest.raises(DeliveryError, match="redirects") as refused:
        posting.check(answer)
    assert refused.value.is_final


def test_a_name_is_resolved_once_and_the_connection_goes_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second answer of the name server would be a private address: DNS rebinding."""
    asked = []
    real = socket.getaddrinfo

    def rebinding(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != "rebinding.example":
            return real(host, port, *args, **options)
        asked.append(host)
        address = "203.0.113.7" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    connected = []

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> Any:
        connected.append(address[0])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "203.0.113.7")
    with pytest.raises(DeliveryError, match="connection failed"):
        post("http://rebinding.example/", allow_private=False)
    assert (asked, connected) == (["rebinding.example"], ["203.0.113.7"])


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback.serving(lambda _: OK) as proxy, loopback.serving(lambda _: OK) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        post(server.url)
    assert (len(proxy.requests), len(server.requests)) == (0, 1)


@contextlib.contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server of bytes; `talk` gets each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection, contextlib.suppress(OSError):
                    talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


def hang(connection: socket.socket) -> None:
    while connection.recv(65536):  # until the other side gives up
        pass


def drip_headers(connection: socket.socket) -> None:
    """A byte at a time, each well within a time limit of reads."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 10_000:
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


def drip_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    for _ in range(10_000):
        connection.sendall(b"a")
        time.sleep(0.02)


@pytest.mark.parametrize("talk", [hang, drip_headers, drip_body])
def test_the_whole_request_ends_in_time(talk: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "WHOLE_S", 0.3)
    with raw_server(talk) as url, pytest.raises(DeliveryError, match="did not answer within") as failed:
        post(url)
    assert not failed.value.is_final


def test_a_long_answer_is_cut() -> None:
    with loopback.serving(lambda _: Answered([b"a" * 50_000] * 100)) as server:
        assert len(post(server.url).body) == LARGEST_ANSWER


@pytest.mark.parametrize("talk", [lambda connection: None, lambda connection: connection.sendall(b"SSH-2.0\r\n\r\n")])
def test_what_is_no_http_is_tried_again(talk: Callable[[socket.socket], None]) -> None:
    with raw_server(talk) as url, pytest.raises(DeliveryError) as failed:
        post(url)
    assert not failed.value.is_final


@pytest.mark.parametrize(
    ("status", "is_final"),
    [*((status, True) for status in (400, 401, 403, 404, 410)), *((status, False) for status in (408, 429, 500, 503))],
)
def test_which_answers_are_final(status: int, is_final: bool) -> None:
    with pytest.raises(DeliveryError, match=str(status)) as refused:
        posting.check(Answer(status, {}, b""))
    assert refused.value.is_final is is_final


def test_retry_after() -> None:
    assert Answer(503, {"retry-after": "120"}, b"").retry_after == timedelta(seconds=120)
    assert Answer(503, {"retry-after": "9" * 30}, b"").retry_after == timedelta(days=1)
    assert Answer(503, {"retry-after": "soon"}, b"").retry_after is None
    assert Answer(503, {"retry-after": "Mon, 01 Jan 2024 00:00:00 +99999999999999"}, b"").retry_after is None
    assert Answer(503, {}, b"").retry_after is None
    in_an_hour = Answer(503, {"retry-after": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)}, b"")
    assert in_an_hour.retry_after is not None
    assert timedelta(minutes=59) < in_an_hour.retry_after <= timedelta(hours=1)
    assert Answer(503, {"retry-after": "Wed, 18 Nov 2020 09:00:00 GMT"}, b"").retry_after == timedelta(0)


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for hooks.example, that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(("name", "is_taken"), [("hooks.example", True), ("other.example", False)])
def test_tls_is_verified_for_the_name_though_the_address_is_pinned(
    name: str, is_taken: bool, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []

    def talk(connection: socket.socket) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        context.sni_callback = lambda _socket, asked, _context: names.append(asked)
        with context.wrap_socket(connection, server_side=True) as tls:
            asked = b""
            while not asked.endswith(b"{}"):
                asked += tls.recv(65536)
            tls.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(posting, "_tls", lambda: trusting)
    monkeypatch.setattr(addresses, "resolve", lambda host, port, *, allow_private: ["127.0.0.1"])
    with raw_server(talk) as url:
        port = url.split(":")[2].strip("/")
        if is_taken:
            assert post(f"https://{name}:{port}/").status == 204
        else:
            with pytest.raises(DeliveryError, match="connection failed"):
                post(f"https://{name}:{port}/")
    assert names == [name]
