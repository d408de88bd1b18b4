"""Production settings, as a process reads them from the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from ast import literal_eval
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.settings import rate
from usage_billing.auth.request_throttling import UserRate

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "b5c0d8e3f7a1429684be57d2903cfa6e81d4079b2ce6f35a"
FOLDER = tempfile.TemporaryDirectory()
"""The outbox and the archive go here, because root could create the real folders."""
# The variables that the README tells people to set.
README = {
    "SECRET_KEY": f"{SECRET}-{SECRET}",
    "DATABASE_URL": "sqlite://:memory:",
    "ALLOWED_HOSTS": "costs.example.com",
    "BEHIND_TLS_PROXY": "1",
    "JWT_SIGNING_KEY": f"jwt-{SECRET}",
    "METRICS_TOKEN": f"metrics-{SECRET}",
    "CACHE_URL": "dbcache://usage_cache",
    "USAGE_DRAIN": "off",
    "PUBLIC_URL": "https://costs.example.com",
    # Neither folder exists yet. Each is created for this user alone when it is needed.
    "USAGE_OUTBOX_PATH": f"{FOLDER.name}/outbox/outbox.sqlite3",
    "USAGE_ARCHIVE_DIR": f"{FOLDER.name}/archive",
}


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the system's variables and these, which override a developer's `.env`."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**inherited, "DEBUG": "0", "DJANGO_SETTINGS_MODULE": "config.settings", **README, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def check(**variables: str) -> subprocess.CompletedProcess[str]:
    return python("-W", "error", "manage.py", "check", "--deploy", "--fail-level", "WARNING", **variables)


def found(**variables: str) -> list[str]:
    """The numbers of the messages of `check --deploy`."""
    answer = check(**variables).stderr
    return sorted(part.split(")")[0] for part in answer.split("?: (")[1:])


def test_check_deploy_reports_nothing() -> None:
    done = check()
    assert (done.returncode, done.stderr) == (0, "")
    assert "no issues" in done.stdout


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        # Plain HTTP on purpose.
        ({"SECURE_SSL_REDIRECT": "0"}, ["security.W004", "security.W008", "security.W010", "security.W016"]),
        ({"SECURE_HSTS_INCLUDE_SUBDOMAINS": "1", "SECURE_HSTS_PRELOAD": "1"}, []),
        (
            {"DEBUG": "1"},
            [*(f"security.W0{number}" for number in ("04", "08", "10", "16", "18")), "usage_billing.W029"],
        ),
        ({"SECRET_KEY": "short", "JWT_SIGNING_KEY": "little"}, ["security.W009", "usage_billing.E001"]),
        ({"SECRET_KEY": "short"}, ["security.W009"]),
        ({"SECRET_KEY": ""}, ["usage_billing.W020"]),
        ({"JWT_SIGNING_KEY": ""}, ["usage_billing.W021"]),
        ({"CRON_SECRET": "often"}, ["usage_billing.W022"]),
        ({"METRICS_TOKEN": ""}, ["usage_billing.W023"]),
        ({"ALLOWED_HOSTS": "*"}, ["usage_billing.W024"]),
        ({"TRUSTED_PROXIES": "0"}, ["usage_billing.W025"]),
        ({"CACHE_URL": "locmemcache://"}, ["usage_billing.W026"]),
        ({"PUBLIC_URL": "http://costs.example.com"}, ["usage_billing.W027"]),
        ({"PUBLIC_URL": ""}, ["usage_billing.W027"]),
        ({"ALLOW_DEBUG_SERVER": "1"}, ["usage_billing.W028"]),
        ({"EMAIL_URL": "consolemail://"}, ["usage_billing.W029"]),
        ({"USAGE_DRAIN": "thread"}, ["usage_billing.W030"]),
        ({"USAGE_OUTBOX_PATH": "/etc/outbox.sqlite3"}, ["usage_billing.W031"] * 2),
        ({"SECURE_COOKIES": "0"}, ["security.W010", "security.W016"]),
        ({"SECURE_HSTS_SECONDS": "0"}, ["security.W004"]),
    ],
)
def test_check_deploy_reports_insecure_settings(variables: dict[str, str], expected: list[str]) -> None:
    assert found(**variables) == expected


@pytest.mark.parametrize(
    ("server", "variables", "reason"),
    [
        ("config.wsgi", {"JWT_SIGNING_KEY": "short"}, "has 5 bytes; it needs 32 or more"),
        ("config.asgi", {"JWT_SIGNING_KEY": "short"}, "has 5 bytes; it needs 32 or more"),
        ("config.wsgi", {"JWT_SIGNING_KEY": "", "SECRET_KEY": "short"}, "has 5 bytes; it needs 32 or more"),
        ("config.wsgi", {"TRUSTED_PROXIES": "-1"}, "TRUSTED_PROXIES is the number of proxies"),
        ("config.wsgi", {"CACHE_URL": "nonsense://"}, "Invalid cache schema nonsense"),
        ("config.wsgi", {"API_RATE_USER": "lots"}, "API_RATE_USER='lots' is not a rate. Write a number"),
        pytest.param(
            "config.wsgi",
            {"CACHE_URL": "redis://127.0.0.1:6379/0"},
            "The cache of CACHE_URL has no driver",
            marks=pytest.mark.skipif(find_spec("redis") is not None, reason="it has one"),
        ),
    ],
)
def test_server_refuses_to_start_and_says_why(server: str, variables: dict[str, str], reason: str) -> None:
    refused = python("-c", f"import {server}", **variables)
    assert refused.returncode != 0
    assert reason in refused.stderr


@pytest.mark.parametrize(
    "wrong", ["", "10", "/min", "0/min", "-1/min", "1.5/min", "10/month", "10 / min", "10/m1n", "10/min\n", "٣/min"]
)
def test_bad_rate_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("API_RATE_USER", wrong)
    with pytest.raises(ImproperlyConfigured, match=r"API_RATE_USER=.* is not a rate\. Write a number.*: 600/min"):
        rate("API_RATE_USER", "600/min")


@pytest.mark.parametrize("right", ["1/s", "10/sec", "60/m", "600/min", "1000/hour", "999999/day"])
def test_drf_parses_a_valid_rate(monkeypatch: pytest.MonkeyPatch, right: str) -> None:
    monkeypatch.setenv("API_RATE_USER", right)
    requests, seconds = UserRate.parse_rate(UserRate(), rate("API_RATE_USER", "600/min"))
    per = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    assert (requests, seconds) == (int(right.split("/")[0]), per[right.split("/")[1][0]])


def answers(*requests: str, **variables: str) -> list[dict[str, Any]]:
    """Return the answers of a production server's Django to GET requests: status, headers, cookies."""
    program = (
        "import django, json; django.setup()\n"
        "from django.core.management import call_command; call_command('migrate', verbosity=0)\n"
        "from django.test import Client\n"
        "def ask(line):\n"
        "    path, secure, forwarded = line.split()\n"
        "    extra = {} if forwarded == '-' else {'HTTP_X_FORWARDED_PROTO': forwarded}\n"
        "    client = Client(SERVER_NAME='costs.example.com', raise_request_exception=False)\n"
        "    answer = client.get(path, secure=secure == 'https', **extra)\n"
        "    cookies = {name: morsel.OutputString() for name, morsel in answer.cookies.items()}\n"
        "    return {'status': answer.status_code, 'headers': dict(answer.headers), 'cookies': cookies}\n"
        f"print(json.dumps([ask(line) for line in {requests!r}]))"
    )
    done = python("-c", program, **variables)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_production_redirects_to_https_except_for_health_checks() -> None:
    plain, health, forwarded, api = answers("/login/ http -", "/healthz http -", "/login/ http https", "/api/x http -")
    assert (plain["status"], plain["headers"]["Location"]) == (301, "https://costs.example.com/login/")
    assert api["status"] == 301
    assert health["status"] == 200
    assert forwarded["status"] == 200
    expected = {
        "Strict-Transport-Security": "max-age=31536000",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    assert {name: forwarded["headers"].get(name) for name in expected} == expected
    assert "Secure" in forwarded["cookies"]["csrftoken"]
    assert "SameSite=Lax" in forwarded["cookies"]["csrftoken"]


def test_a_forwarded_header_of_a_client_is_not_trusted() -> None:
    forwarded, secure = answers("/login/ http https", "/login/ https -", BEHIND_TLS_PROXY="0")
    assert (forwarded["status"], secure["status"]) == (301, 200)


def test_plain_http_on_purpose() -> None:
    (plain,) = answers("/login/ http -", SECURE_SSL_REDIRECT="0")
    assert plain["status"] == 200
    assert "Strict-Transport-Security" not in plain["headers"]
    assert "Secure" not in plain["cookies"]["csrftoken"]


def test_hsts_of_subdomains_and_preload() -> None:
    (answer,) = answers(
        "/login/ https -",
        SECURE_HSTS_SECONDS="63072000",
        SECURE_HSTS_INCLUDE_SUBDOMAINS="1",
        SECURE_HSTS_PRELOAD="1",
    )
    assert answer["headers"]["Strict-Transport-Security"] == "max-age=63072000; includeSubDomains; preload"


def test_proxies_and_sessions() -> None:
    program = (
        "import django; django.setup(); from django.conf import settings as s\n"
        "print(s.AI_COSTS['TRUSTED_PROXIES'], s.SESSION_COOKIE_AGE, s.SESSION_COOKIE_HTTPONLY,"
        " s.SESSION_COOKIE_SAMESITE, s.SESSION_COOKIE_SECURE)"
    )
    week = 7 * 24 * 3600
    assert python("-c", program).stdout.split() == ["1", str(week), "True", "Lax", "True"]
    assert python("-c", program, BEHIND_TLS_PROXY="0", TRUSTED_PROXIES="2").stdout.split()[0] == "2"


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_only_its_owner_may_read_the_database_file(tmp_path: Path, umask: str) -> None:
    path = tmp_path / "new" / "db.sqlite3"
    program = (
        f"import os; os.umask(0o{umask}); import django; django.setup(); from django.db import connection\n"
        "with connection.cursor() as cursor: cursor.execute('CREATE TABLE one (id)')\n"
        "print({file.name: oct(file.stat().st_mode & 0o7777) for file in os.scandir(os.environ['AT'])})"
    )
    done = python("-c", program, DATABASE_URL=f"sqlite:///{path}", AT=str(path.parent))
    assert done.returncode == 0, done.stderr
    assert literal_eval(done.stdout) == {
        "db.sqlite3": "0o600",
        "db.sqlite3-shm": "0o600",
        "db.sqlite3-wal": "0o600",
    }
    assert oct(path.parent.stat().st_mode & 0o7777) == "0o700"


def test_a_readable_database_file_of_an_earlier_version_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    files = [path, tmp_path / "db.sqlite3-wal", tmp_path / "db.sqlite3-shm"]
    for file in files:
        file.touch()
        file.chmod(0o644)
    tmp_path.chmod(0o755)
    done = python("-c", "import django; django.setup()", DATABASE_URL=f"sqlite:///{path}")
    assert (done.returncode, done.stderr) == (0, "")
    assert {oct(file.stat().st_mode & 0o7777) for file in files} == {"0o600"}
    assert oct(tmp_path.stat().st_mode & 0o7777) == "0o755"
