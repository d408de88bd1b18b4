"""The proxy as it is served, in a process of its own, before a provider whose answers a test scripts."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from django.db import connection

from tests.support.loopback import Answered, Loopback, Received, serving
from tests.support.postgres import free_port
from tests.support.recorded import Recorded
from tests.support.reliability.world import ROOT, wait_until
from usage_billing.auth import provider_keys, service_tokens
from usage_billing.ledger import drain
from usage_billing.models import Organization
from usage_billing.recording import Event
from usage_billing.recording.outbox import Outbox
from usage_billing.tenancy.scope import EVERYTHING

SECRET = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyz"
"""The provider's key that the proxy calls with."""
SCRIPT = "x-script"
"""The header by which a test chooses the provider's answer; the proxy passes it on."""


Process = subprocess.Popen[bytes]


@dataclass
class Proxied:
    """`url`: of the proxy, without a slash at its end. `provider`: what received its requests."""

    url: str
    outbox: Path
    provider: Loopback
    process: Process
    log: Path
    of_before: int = 0
    scripts: dict[str, Callable[[Received], Answered]] = field(default_factory=dict)

    @property
    def openai(self) -> str:
        return f"{self.url}/proxy/openai/v1"

    @property
    def anthropic(self) -> str:
        return f"{self.url}/proxy/anthropic"

    def events(self) -> list[Event]:
        """The events that were recorded since the last `begin_anew`, and not drained."""
        return Recorded(self.outbox).all()[self.of_before :]

    def begin_anew(self) -> None:
        self.of_before = len(Recorded(self.outbox).all())
        self.provider.requests.clear()
        self.scripts.clear()

    def drain(self) -> int:
        reader = Outbox(self.outbox)
        try:
            return drain.drain_all(reader)
        finally:
            reader.close()


def database_of_tests() -> str:
    """The URL of the test database, for other processes."""
    config = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{config['NAME']}"
    return f"postgres://{config['USER']}:{config['PASSWORD']}@{config['HOST']}:{config['PORT']}/{config['NAME']}"


@contextlib.contextmanager
def uvicorn(environment: dict[str, str], log: Path) -> Iterator[tuple[str, Process]]:
    """Serve `config.asgi` as deploy/ai-costs-proxy.service does. Yields its URL."""
    port = free_port()
    command = [
        sys.executable, "-m", "uvicorn", "config.asgi:application", "--host=127.0.0.1", f"--port={port}", "--ws=none",
        "--no-server-header", "--no-date-header", "--no-access-log",
        "--timeout-graceful-shutdown=5",
    ]  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: _answers(url, process, log), seconds=60)
            yield url, process
        finally:
            process.terminate()
            process.wait(30)


def _answers(url: str, process: Process, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return httpx2.get(f"{url}/proxy/").status_code == 404
    except httpx2.TransportError:
        return False


@contextlib.contextmanager
def proxied(database_url: str, folder: Path, **variables: str) -> Iterator[Proxied]:
    """Run the proxy on this database. Its calls go to a provider on loopback, with `SECRET` as the key."""
    holder: list[Proxied] = []

    def answer(received: Received) -> Answered:
        name = next((value for name, value in received.headers.items() if name.lower() == SCRIPT), "")
        return holder[0].scripts[name](received)

    outbox = folder / "outbox" / "outbox"
    with serving(answer) as provider:
        environment = os.environ | {
            "DEBUG": "1",
            "ALLOW_DEBUG_SERVER": "1",
            "AI_SIMULATOR": "0",
            "DATABASE_URL": database_url,
            "USAGE_OUTBOX_PATH": str(outbox),
            "USAGE_DRAIN": "off",
            "API_RATE_TOKEN": "100000/sec",
            "PROXY_URLS": f"openai={provider.url},anthropic={provider.url}",
            **variables,
        }
        with uvicorn(environment, folder / "proxy.log") as (url, process):
            holder.append(Proxied(url, outbox, provider, process, folder / "proxy.log"))
            yield holder[0]


def token(org: Organization | None, *, scopes: Sequence[str] = ("proxy",), name: str = "program", **fields: Any) -> str:
    """Make a service token, and return it."""
    return service_tokens.create(scope=EVERYTHING, by="tests", name=name, org=org, scopes=scopes, **fields)[1]


def save_keys(secret: str = SECRET) -> None:
    """Save the key of all organisations, for both providers."""
    for provider in ("openai", "anthropic"):
        provider_keys.save(scope=EVERYTHING, by="tests", org=None, provider=provider, secret=secret)


def a_second() -> None:
    """Wait as long as a token's look-up holds."""
    time.sleep(service_tokens.RECHECK_S + 0.1)
