"""Logging in to a production server: gunicorn with two workers behind a TLS proxy, and real requests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from tests.support import factories
from tests.support.postgres import free_port
from usage_billing.conf import conf

ROOT = Path(__file__).resolve().parent.parent.parent
SUMMARY = "/api/billing/usage/tokens/summary"
HOST = "costs.example.com"
ALICE, STRANGER = "192.0.2.1", "198.51.100.7"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: HTTPMessage
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Ask = Callable[..., Answer]


@pytest.fixture
def ask(database_url: str, tmp_path: Path) -> Iterator[Ask]:
    """A request as the proxy hands it on."""
    call_command("createcachetable", "shared_cache", verbosity=0)
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "DEBUG": "0",
        "SECRET_KEY": "b5c0d8e3f7a1429684be57d2903cfa6e81d4079b2ce6f35a-1",
        "DATABASE_URL": database_url,
        "USAGE_ROLE_PREFIX": conf.ROLE_PREFIX,
        "USAGE_SCOPE_KEY": conf.SCOPE_KEY,
        "ALLOWED_HOSTS": HOST,
        "BEHIND_TLS_PROXY": "1",
        "USAGE_DRAIN": "off",
        "USAGE_OUTBOX_PATH": str(tmp_path / "outbox.sqlite3"),
        "CACHE_URL": "dbcache://shared_cache",
        "API_RATE_USER": "5/hour",
        "API_RATE_ANONYMOUS": "30/hour",
    }
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "config.wsgi",
            "--config=deploy/gunicorn.conf.py",
            "--workers=2",
            f"--bind=127.0.0.1:{port}",
            "--log-level=error",
        ],
        cwd=ROOT,
        env=environment,
    )

    def request(method: str, path: str, address: str = ALICE, body: Any = None, **headers: str) -> Answer:
        sent = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": f"10.9.8.7, {address}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body = json.dumps(body)
            sent["Content-Type"] = "application/json"
        with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as http:
            http.request(method, path, body, sent)
            response = http.getresponse()
            return Answer(response.status, response.headers, response.read().decode())

    try:
        wait_for(lambda: request("GET", "/healthz").status == 200, server)
        yield request
    finally:
        server.terminate()
        server.wait(timeout=30)
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE shared_cache")


def wait_for(is_up: Callable[[], bool], server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if is_up():
                return
        except ConnectionRefusedError:
            time.sleep(0.1)
    pytest.fail("The server did not start.")


@pytest.fixture
def alice(transactional_db: None) -> User:
    person = factories.superadmin("alice")
    # The hash of the server's own first choice, with fewer rounds than it would take.
    person.password = PBKDF2PasswordHasher().encode("secret", "salt", iterations=1000)
    person.save()
    return person


def token(ask: Ask, password: str = "secret", address: str = ALICE) -> Answer:
    return ask("POST", "/api/token", address, {"username": "alice", "password": password})


def log_in(ask: Ask, login_address: str, password: str, address: str = ALICE, language: str = "en") -> Answer:
    """Fetch the form and send it back with its CSRF token, as a browser does."""
    form = ask("GET", login_address, address)
    secret = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.body)
    cookie = re.search(r"csrftoken=\w+", str(form.headers["Set-Cookie"]))
    assert secret is not None
    assert cookie is not None
    return ask(
        "POST",
        login_address,
        address,
        urlencode({"csrfmiddlewaretoken": secret[1], "username": "alice", "password": password, "next": "/"}),
        Content_Type="application/x-www-form-urlencoded",
        Cookie=cookie[0],
        Referer=f"https://{HOST}{login_address}",
        Accept_Language=language,
    )


def test_wrong_passwords_lock_one_address_out_of_every_log_in(ask: Ask, alice: User) -> None:
    assert [log_in(ask, "/login/", "wrong", STRANGER).status for _ in range(2)] == [200, 200]
    assert [token(ask, "wrong", STRANGER).status for _ in range(3)] == [401, 401, 429]

    page = log_in(ask, "/login/", "secret", STRANGER)
    assert page.status == 429
    assert 0 < int(page.headers["Retry-After"]) <= 600
    assert re.search(r"Try again in \d+ minutes?\.", page.body)
    assert "sessionid" not in str(page.headers.get_all("Set-Cookie"))
    locked = token(ask, "secret", STRANGER)
    assert (locked.status, locked.json["error"]["code"]) == (429, "login_locked")
    assert locked.json["error"]["details"]["retry_after_s"] == int(locked.headers["Retry-After"])

    # The one whose name was tried comes in, from her own address, by every log-in.
    inside = log_in(ask, "/login/", "secret")
    assert inside.status == 302
    session = next(cookie for cookie in inside.headers.get_all("Set-Cookie") or [] if "sessionid" in cookie)
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(session.split("; "))
    assert token(ask).status == 200


def test_tokens_from_log_in_to_log_out(ask: Ask, alice: User) -> None:
    pair = token(ask).json["data"]
    assert ask("GET", SUMMARY, Authorization=f"Bearer {pair['access']}").json["success"] is True
    following = ask("POST", "/api/token/refresh", body={"refresh": pair["refresh"]}).json["data"]
    assert ask("POST", "/api/token/refresh", body={"refresh": pair["refresh"]}).status == 401
    assert ask("POST", "/api/token/revoke", body={"refresh": following["refresh"]}).json["success"] is True
    for access in (pair["access"], following["access"]):
        refused = ask("GET", SUMMARY, Authorization=f"Bearer {access}")
        assert (refused.status, refused.json["error"]["code"]) == (401, "token_revoked")
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_rate_holds_over_all_workers_with_a_shared_cache(ask: Ask, alice: User) -> None:
    access = token(ask).json["data"]["access"]
    statuses = [ask("GET", SUMMARY, Authorization=f"Bearer {access}").status for _ in range(8)]
    assert statuses == [200] * 5 + [429] * 3
    answer = ask("GET", SUMMARY, Authorization=f"Bearer {access}")
    assert answer.json["error"]["details"]["retry_after_s"] == int(answer.headers["Retry-After"])
    assert 0 < int(answer.headers["Retry-After"]) <= 3600


def test_plain_http_is_sent_to_https_but_for_the_health(ask: Ask) -> None:
    plain = ask("GET", SUMMARY, X_Forwarded_Proto="http")
    assert (plain.status, plain.headers["Location"]) == (301, f"https://{HOST}{SUMMARY}")
    assert ask("GET", "/healthz", X_Forwarded_Proto="http").status == 200
    assert ask("GET", "/login/").headers["Strict-Transport-Security"] == "max-age=31536000"
