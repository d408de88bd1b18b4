"""Events a second over HTTP into the outbox, and from there into the ledger: one server, one program that sends."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

from bench import workers
from bench.table import Row, Section
from tests.support.postgres import free_port

A_BODY = 1_000
BODIES = 20
ORG = "bench-events"


def section(rounds: int) -> Section:
    """Measure on SQLite: what it measures is the server, and the drain as `writing` does on both databases."""
    with tempfile.TemporaryDirectory() as directory:
        environment = workers.environment(f"sqlite:///{Path(directory) / 'db.sqlite3'}", Path(directory))
        environment |= {"SECURE_SSL_REDIRECT": "0", "API_RATE_USER": "100000/min"}
        workers.fill(0, environment)
        token = _token(environment)
        taken: list[float] = []
        slowest: list[float] = []
        single: list[float] = []
        drained: list[float] = []
        with _server(environment) as port:
            _send(port, token, 1)
            for _ in range(rounds):
                began = time.perf_counter()
                waits = [_send(port, token, A_BODY) for _ in range(BODIES)]
                taken.append(BODIES * A_BODY / (time.perf_counter() - began))
                slowest.append(max(waits) * 1000)
                alone = sorted(_send(port, token, 1) for _ in range(50))
                single.append(alone[25] * 1000)
                drained.append(_drained(environment))
    return Section("Events of other programs", _rows(taken, slowest, single, drained), _REMARKS)


_REMARKS = [
    f"{BODIES} bodies of {A_BODY:,} events (JSON, 330 bytes each) one after the other over loopback to one gunicorn"
    " worker: read, checked, looked up in the ledger and",
    "written to the outbox before the 200. Into the ledger: `drain_usage`, its start included.",
]


def _rows(taken: list[float], slowest: list[float], single: list[float], drained: list[float]) -> list[Row]:
    return [
        Row("over HTTP into the outbox", taken, "events/s"),
        Row(f"slowest answer to {A_BODY:,} events", slowest, "ms"),
        Row("answer to a single event, p50", single, "ms", digits=1),
        Row("from the outbox into the ledger", drained, "events/s"),
    ]


def _send(port: int, token: str, events: int) -> float:
    """Send so many new events. Returns the seconds until the answer."""
    salt = secrets.token_hex(8)
    body = json.dumps(
        [
            {
                "request_id": f"chatcmpl-{salt}-{number}",
                "provider": "openai",
                "model": "gpt-4.1-mini",
                "usage": {
                    "prompt_tokens": 1200 + number,
                    "completion_tokens": 80,
                    "total_tokens": 1280 + number,
                    "prompt_tokens_details": {"cached_tokens": 600},
                },
                "agent_id": "legal_guard",
                "request_type": "legal_check",
                "tags": {"env": "prod"},
            }
            for number in range(events)
        ]
    )
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    began = time.perf_counter()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection.request("POST", "/api/billing/usage/events", body, headers)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    seconds = time.perf_counter() - began
    connection.close()
    assert answer.status == 200, content
    assert content["data"]["taken"] == events, content["data"]
    return seconds


def _token(environment: dict[str, str]) -> str:
    program = (
        "import django; django.setup()\n"
        "from usage_billing.auth import service_tokens\n"
        "from usage_billing.models import Organization\n"
        "from usage_billing.tenancy.scope import EVERYTHING\n"
        f"org = Organization.objects.create(name='Events', slug='{ORG}', timezone='Europe/Moscow')\n"
        "print(service_tokens.create(scope=EVERYTHING, by='bench', name='bench', org=org, scopes=['ingest'])[1])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return run.stdout.strip()


def _drained(environment: dict[str, str]) -> float:
    began = time.perf_counter()
    command = [sys.executable, "manage.py", "drain_usage"]
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - began
    events = int(run.stdout.split()[1])
    assert events >= BODIES * A_BODY, run.stdout
    return events / seconds


@contextlib.contextmanager
def _server(environment: dict[str, str]) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--config=deploy/gunicorn.conf.py", "--workers=1"]
    command += [f"--bind=127.0.0.1:{port}", "--log-level=error", "config.wsgi"]
    with subprocess.Popen(command, env=environment) as server:
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    HTTPConnection("127.0.0.1", port, timeout=5).connect()
                    break
                time.sleep(0.1)
            yield port
        finally:
            server.terminate()
