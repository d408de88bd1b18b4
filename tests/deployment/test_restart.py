"""A restart loses no request: a new server takes over the socket that systemd keeps open."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from config.buffering_worker import LARGEST_BODY
from tests.deployment.test_compose import dockerfile_command
from tests.support.reliability.world import ROOT, wait_until

PATIENCE_S = 60
BUNDLE = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"

Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """The socket, in place of ai-costs-web.socket."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as made:
        yield made


@pytest.fixture
def start(listening: socket.socket, tmp_path: Path) -> Iterator[Start]:
    """Start the server as systemd does: it gets the socket as file descriptor 3."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DEBUG": "0",
        "SECRET_KEY": secrets.token_hex(32),
        "SECURE_SSL_REDIRECT": "0",
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "USAGE_OUTBOX_PATH": str(tmp_path / "outbox" / "outbox.sqlite3"),
        "USAGE_DRAIN": "off",
        "STATIC_ROOT": str(tmp_path / "static"),
    }
    subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity=0"],
        cwd=ROOT, env=environment, check=True, timeout=120,
    )  # fmt: skip
    command = [part for part in dockerfile_command() if not part.startswith("--bind")]
    running: list[subprocess.Popen[bytes]] = []

    def started() -> subprocess.Popen[bytes]:
        as_systemd = f"exec 3<&{listening.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec " + " ".join(command)
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-c", as_systemd], cwd=ROOT, env=environment, pass_fds=[listening.fileno()],
                stdout=log, stderr=log,
            )  # fmt: skip
        running.append(process)
        return process

    yield started
    for process in running:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0, (tmp_path / "log").read_text()


def status(port: int, path: str) -> int:
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def test_no_request_fails_while_a_new_server_takes_over(listening: socket.socket, start: Start) -> None:
    port = listening.getsockname()[1]
    found: list[int] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            found.append(status(port, "/healthz"))

    old = start()
    assert status(port, "/healthz") == 200
    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        wait_until(lambda: len(found) > 20)
        old.send_signal(signal.SIGTERM)
        assert old.wait(PATIENCE_S) == 0
        before = len(found)
        start()
        wait_until(lambda: len(found) > before + 20)
    finally:
        done.set()
        for client in clients:
            client.join()
    assert set(found) == {200}


def test_a_stopping_server_sends_the_whole_answer_to_a_slow_reader(listening: socket.socket, start: Start) -> None:
    port = listening.getsockname()[1]
    old = start()
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE_S)
        connection.connect(("127.0.0.1", port))
        connection.sendall(f"GET {BUNDLE} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        received = len(connection.recv(1000))
        old.send_signal(signal.SIGTERM)
        while part := connection.recv(100_000):
            received += len(part)
    assert old.wait(PATIENCE_S) == 0
    file = next(Path(ROOT, ".venv").glob(f"lib/*/site-packages/{BUNDLE[1:].replace('static/', '*/static/', 1)}"))
    assert received > file.stat().st_size


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(listening: socket.socket, start: Start) -> None:
    start()
    with closing(HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=PATIENCE_S)) as connection:
        connection.putrequest("POST", "/api/token")
        connection.putheader("Content-Length", str(LARGEST_BODY + 1))
        connection.endheaders()
        assert connection.getresponse().status == 413
