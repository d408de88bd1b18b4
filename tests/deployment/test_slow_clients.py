"""Slow or greedy clients do not block the server of deploy/, alone and behind each proxy of deploy/.

The tests measure no time. While the slow connections are open, all requests of other clients must be answered.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.deployment.test_compose import dockerfile_command, example
from tests.support import postgres, proxies
from tests.support.postgres import free_port
from tests.support.proxies import HOST, Certificate
from tests.support.reliability import world
from tests.support.reliability.world import ROOT, wait_until
from usage_billing.api.export_slots import EXPORTS_PER_USER

pytestmark = pytest.mark.postgres

SLOW_CLIENTS, EXPORTS, CALLS = 200, 20, 60_000
PATIENCE_S = 30
"""Time limit of a request beside the slow ones, far above its duration: a blocked server does not answer at all."""
EXPORT = "/api/billing/usage/tokens/export?format=csv"
SUMMARY = "/api/billing/usage/tokens/summary"

SEED = """
import json
from django.contrib.auth.models import User
from usage_billing.auth.session_store import SessionStore
from usage_billing.models import UsageRecord
from tests.support import factories, rows
made = {}
for name in ("greedy", "other"):
    org = factories.organization(name)
    person = factories.owner(org, name)
    rows.enter(rows.row(org))
    session = SessionStore()
    session.update({"_auth_user_id": str(person.pk), "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
                    "_auth_user_hash": person.get_session_auth_hash()})
    session.create()
    token = factories.api_session(person).access
    made[name] = {"org": org.pk, "token": token, "session": session.session_key}
print(json.dumps(made))
"""


@dataclass(frozen=True)
class Person:
    """A user with an API token and a session."""

    token: str
    session: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass
class Service:
    """The address of the service: the server itself, or a proxy that speaks TLS."""

    port: int
    folder: Path
    database: postgres.Server
    greedy: Person
    other: Person
    certificate: Certificate | None = None

    def connection(self) -> HTTPConnection:
        if self.certificate is None:
            return HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection = HTTPSConnection(HOST, self.port, timeout=PATIENCE_S, context=self.certificate.trusted())
        connection.sock = self.socket()
        return connection

    def socket(self, receive_buffer: int | None = None) -> socket.socket:
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(PATIENCE_S)
        raw.connect(("127.0.0.1", self.port))
        if self.certificate is None:
            return raw
        return self.certificate.trusted().wrap_socket(raw, server_hostname=HOST)

    @property
    def head(self) -> dict[str, str]:
        """The headers of every request. Without a proxy they include the headers that one would add."""
        return {"Host": HOST} | ({} if self.certificate else {"X-Forwarded-Proto": "https", "X-Forwarded-For": "::1"})

    def ask(self, path: str, headers: dict[str, str] | None = None, body: str | None = None) -> tuple[int, str]:
        """Return status and text, or 0 and the reason if no answer came in time."""
        connection = self.connection()
        try:
            connection.request("POST" if body else "GET", path, body, self.head | (headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, HTTPException) as error:
            return 0, repr(error)
        finally:
            connection.close()

    def expect_others_answered(self) -> None:
        """Send thirty requests of another user, to `/healthz`, a page and the API, and expect 200 for each."""
        page = {"Cookie": f"sessionid={self.other.session}"}
        requests = [("/healthz", {}), ("/usage/", page), (SUMMARY, self.other.headers)] * 10
        with ThreadPoolExecutor(6) as clients:
            answers = list(clients.map(lambda request: self.ask(*request), requests))
        assert [status for status, _text in answers] == [200] * len(requests), answers


@dataclass
class SlowClients:
    """Connections that each send a byte per second, and are opened again when the server closes them."""

    service: Service
    beginnings: list[bytes]
    connections: list[socket.socket | None] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> SlowClients:
        with ThreadPoolExecutor(16) as clients:
            self.connections = list(clients.map(self._opened, self.beginnings))
        self._thread = threading.Thread(target=self._drip)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop.set()
        self._thread.join()
        for connection in self.connections:
            if connection is not None:
                connection.close()

    @property
    def open(self) -> int:
        return sum(connection is not None for connection in self.connections)

    def _opened(self, beginning: bytes) -> socket.socket | None:
        try:
            connection = self.service.socket()
            connection.sendall(beginning)
        except OSError:
            return None
        return connection

    def _drip(self) -> None:
        while not self.stop.wait(1):
            for number, connection in enumerate(self.connections):
                try:
                    assert connection is not None
                    connection.sendall(b"x")
                except (OSError, AssertionError):
                    self.connections[number] = self._opened(self.beginnings[number])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run the image's command on a database with two owners, one of whom has many calls."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    with world.production() as (database, url):
        environment = example() | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SECRET_KEY": world.SECRET_KEY,
            "DATABASE_URL": url,
            "USAGE_ROLE_PREFIX": world.PREFIX,
            "USAGE_OUTBOX_PATH": str(folder / "outbox" / "outbox.sqlite3"),
            "STATIC_ROOT": str(folder / "static"),
            "CACHE_URL": f"filecache://{folder}/cache",
            "API_RATE_USER": "999999/sec",
        }

        def manage(*command: str, **variables: str) -> str:
            done = subprocess.run(
                [sys.executable, "manage.py", *command], cwd=ROOT, env=environment | variables,
                capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        manage("collectstatic", "--noinput", "--verbosity=0")
        people = json.loads(manage("shell", "--no-imports", "--command", SEED, DATABASE_URL=database.url))
        multiply(database, people["greedy"]["org"])
        command = [f"--bind=127.0.0.1:{port}" if part.startswith("--bind") else part for part in dockerfile_command()]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            try:
                greedy, other = (Person(people[name]["token"], people[name]["session"]) for name in ("greedy", "other"))
                service = Service(port, folder, database, greedy, other)
                wait_until(lambda: process.poll() is not None or service.ask("/healthz")[0] == 200)
                yield service
            finally:
                process.terminate()
                assert process.wait(60) == 0, (folder / "log").read_text()


def multiply(database: postgres.Server, org: int) -> None:
    """Copy the organisation's only call until an export exceeds the buffer that the server keeps for a slow reader."""
    with psycopg.connect(database.url) as connection:
        columns = [
            row[0]
            for row in connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'token_usage'"
                " AND column_name NOT IN ('id', 'request_id')"
            )
        ]
        names = ", ".join(columns)
        connection.execute(
            f"INSERT INTO token_usage ({names}, request_id) SELECT {names}, 'copy-' || number FROM token_usage,"
            f" generate_series(1, {CALLS}) AS number WHERE org_id = {org}".encode()
        )


@pytest.fixture(params=["", *proxies.PROXIES], ids=lambda name: name or "no proxy")
def service(request: pytest.FixtureRequest, server: Service, tmp_path: Path) -> Iterator[Service]:
    """The server alone, and behind each proxy."""
    with reached(request.param, server, tmp_path) as made:
        yield made


@contextmanager
def reached(proxy: str, server: Service, folder: Path) -> Iterator[Service]:
    if not proxy:
        yield server
        return
    proxies.needs(proxy)
    certificate = proxies.certificate(folder)
    with proxies.PROXIES[proxy](server.port, certificate, folder) as port:
        yield Service(port, folder, server.database, server.greedy, server.other, certificate)


def headers_without_end(service: Service) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in service.head.items())
    return f"GET /login/ HTTP/1.1\r\n{lines}X-Slow: ".encode()


def body_without_end(service: Service) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in service.head.items())
    head = f"POST /api/token HTTP/1.1\r\n{lines}Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    return head.encode()


@pytest.mark.parametrize("beginning", [headers_without_end, body_without_end], ids=["headers", "bodies"])
def test_clients_that_send_a_byte_per_second_block_nobody(service: Service, beginning: Any) -> None:
    with SlowClients(service, [beginning(service)] * SLOW_CLIENTS) as clients:
        assert clients.open == SLOW_CLIENTS
        service.expect_others_answered()
        assert clients.open == SLOW_CLIENTS


def test_clients_that_read_nothing_block_nobody(service: Service) -> None:
    """They request a public file of a megabyte, which exceeds the kernel's buffers."""
    head = "".join(f"{name}: {value}\r\n" for name, value in service.head.items())
    asked = f"GET /static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js HTTP/1.1\r\n{head}\r\n".encode()

    def opened(_number: int) -> socket.socket:
        connection = service.socket(receive_buffer=2048)
        connection.sendall(asked)
        return connection

    with ThreadPoolExecutor(16) as clients:
        connections = list(clients.map(opened, range(SLOW_CLIENTS)))
    try:
        # The server has started to send the file.
        assert connections[0].recv(15) == b"HTTP/1.1 200 OK"
        service.expect_others_answered()
    finally:
        for connection in connections:
            connection.close()


def test_twenty_exports_of_one_person_block_nobody(service: Service) -> None:
    """Each export exceeds the server's buffer, and nobody reads it."""
    connections: list[HTTPConnection] = []

    def started(_number: int) -> HTTPResponse:
        connection = service.connection()
        connections.append(connection)
        if connection.sock is None:
            connection.sock = service.socket(receive_buffer=2048)
        connection.request("GET", EXPORT, headers=service.head | service.greedy.headers)
        return connection.getresponse()

    with ThreadPoolExecutor(EXPORTS) as clients:
        answers = list(clients.map(started, range(EXPORTS)))
    try:
        assert sorted(answer.status for answer in answers) == [200] * EXPORTS_PER_USER + [429] * (
            EXPORTS - EXPORTS_PER_USER
        )
        assert {answer.headers["Retry-After"] for answer in answers if answer.status == 429} == {"30"}
        service.expect_others_answered()
    finally:
        for connection in connections:
            connection.close()
        for answer in answers:
            answer.close()
    # The server notices the closed connections, and the next export is complete.
    wait_until(lambda: service.ask(EXPORT, service.greedy.headers)[0] == 200)
    assert service.ask(EXPORT, service.greedy.headers)[1].count("\n") == CALLS + 2


def test_forwarded_headers_of_a_client_are_not_trusted(service: Service) -> None:
    if service.certificate is None:
        pytest.skip("needs a proxy, which sets these headers")
    body = json.dumps({"username": f"nobody-{service.port}", "password": "wrong"})
    headers = {"Content-Type": "application/json", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http"}
    # 401, not a redirect to HTTPS: the proxy reports that the request came by TLS.
    assert service.ask("/api/token", headers, body)[0] == 401
    with psycopg.connect(service.database.url) as connection:
        found = connection.execute("SELECT key FROM usage_throttle_count WHERE key LIKE 'login-address:%'").fetchall()
    assert found == [("login-address:127.0.0.1",)]
