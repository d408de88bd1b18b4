"""compose.yaml conforms to the Compose Specification, and its commands work.

There is no container engine here. The file is validated against the specification's JSON schema (Apache-2.0, beside
this file). The commands of compose.yaml and the Dockerfile run one after the other, as processes, on a new PostgreSQL.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import jsonschema
import psycopg
import pytest
import yaml

from tests.support import postgres
from tests.support.loopback import of_json, serving
from tests.support.postgres import free_port
from tests.support.reliability.world import ROOT, wait_until
from tests.support.scripted import CHAT, CHAT_ANSWER

HERE, DEPLOY = Path(__file__).parent, ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
TOKEN = "metrics-token"


def test_compose_file_is_valid() -> None:
    schema = json.loads((HERE / "compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(COMPOSE | {"services": {"web": {"ports": 8000}}})


def test_services_share_one_outbox_and_wait_for_the_migration() -> None:
    assert set(SERVICES) == {"postgres", "migrate", "web", "proxy", "drain", "cron"}
    ours = {name: service for name, service in SERVICES.items() if name != "postgres"}
    assert {name for name, service in ours.items() if service["volumes"] == ["outbox:/var/lib/ai-costs"]} == set(ours)
    assert all(service["env_file"] == ".env.production" for service in ours.values())
    for name in ("web", "proxy", "drain", "cron"):
        role = "usage_web" if name in ("web", "proxy") else "usage_drain"
        assert SERVICES[name]["environment"]["DATABASE_URL"].startswith(f"postgres://{role}:")
        assert SERVICES[name]["environment"]["USAGE_DRAIN"] == "off"
        assert SERVICES[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_containers_have_minimal_rights() -> None:
    for name, service in SERVICES.items():
        assert service["security_opt"] == ["no-new-privileges:true"]
        if name == "postgres":
            continue  # its entry point must start as root: it gives the folder to its user and then switches to it
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert [place.partition(":")[0].strip("/") for place in service["tmpfs"]] == ["tmp"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "\nUSER ai-costs\n" in dockerfile
    assert "install --directory --owner=ai-costs --mode=700 /var/lib/ai-costs" in dockerfile


def test_check_deploy_reports_only_the_missing_secrets_of_the_example() -> None:
    """With all secrets filled in, the check reports nothing."""
    secrets_ = ("SECRET_KEY", "JWT_SIGNING_KEY", "METRICS_TOKEN")
    environment = {"PATH": os.environ["PATH"]} | example() | {"DATABASE_URL": "sqlite://:memory:"}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]

    def said(**filled_in: str) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=environment | filled_in, capture_output=True, text=True, timeout=120, check=False
        )
        return done.stderr

    assert said(**{name: secrets.token_hex(32) for name in secrets_}) == ""
    assert [name for name in secrets_ if name in said()] == [*secrets_]


def test_compose_sets_the_variables_that_the_example_has_only_for_systemd() -> None:
    text = (DEPLOY / "ai-costs.env.example").read_text()
    of_systemd = re.findall(r"^([A-Z_]+)=", text.partition("# systemd only")[2].partition("\n#")[0], re.MULTILINE)
    assert of_systemd == list(SERVICES["web"]["environment"])
    assert f"ENV STATIC_ROOT={SERVICES['web']['environment']['STATIC_ROOT']} " in (ROOT / "Dockerfile").read_text()


def test_the_image_contains_the_needed_files() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    there = {name for line in copied for name in line.split()}
    assert {"manage.py", "config", "deploy", "templates", "usage_billing", "ai_clients", "requirements.txt"} <= there
    assert all((ROOT / name).exists() for name in there)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not there & set(ignored)


def example() -> dict[str, str]:
    """The variables of the example environment."""
    lines = re.findall(r"^([A-Z_]+)=(.*)$", (DEPLOY / "ai-costs.env.example").read_text(), re.MULTILINE)
    return dict(lines)


def dockerfile_command() -> list[str]:
    found = re.search(r"^CMD (\[.+\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found
    command: list[str] = json.loads(found[1])
    return command


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(60) == 0, log.read_text()


@pytest.mark.postgres
@pytest.mark.timeout(300)
def test_the_commands_work_one_after_the_other(tmp_path: Path) -> None:
    password, log, port = secrets.token_hex(8), tmp_path / "log", free_port()
    binaries = Path(sys.executable).parent
    with postgres.temporary() as server:
        common = example() | {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "SECRET_KEY": secrets.token_hex(32),
            "METRICS_TOKEN": TOKEN,
            "USAGE_OUTBOX_PATH": str(tmp_path / "outbox" / "outbox.sqlite3"),
            "STATIC_ROOT": str(tmp_path / "static"),
            "CACHE_URL": f"filecache://{tmp_path}/cache",
        }
        owner = common | {"DATABASE_URL": server.url}
        owner |= {"USAGE_WEB_PASSWORD": password, "USAGE_DRAIN_PASSWORD": password[::-1]}
        web = common | {"DATABASE_URL": f"postgres://usage_web:{password}@127.0.0.1:{server.port}/postgres"}
        drain = common | {"DATABASE_URL": f"postgres://usage_drain:{password[::-1]}@127.0.0.1:{server.port}/postgres"}

        def run(*command: str, environment: dict[str, str]) -> str:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        run("python", "manage.py", "collectstatic", "--noinput", environment=web)
        assert "The database is ready." in run(*SERVICES["migrate"]["command"], environment=owner)
        assert "The database is ready." in run(*SERVICES["migrate"]["command"], environment=owner)  # an upgrade

        serve = [f"--bind=127.0.0.1:{port}" if part.startswith("--bind") else part for part in dockerfile_command()]
        proxy_port = free_port()
        proxy = [part.replace("8001", str(proxy_port)) for part in SERVICES["proxy"]["command"]]
        with (
            serving(lambda _received: of_json(CHAT_ANSWER | {"id": uuid.uuid4().hex})) as provider,
            running(proxy, web | {"PROXY_URLS": f"openai={provider.url}"}, tmp_path / "proxy.log"),
            running(serve, web, log),
            running(SERVICES["drain"]["command"], drain, tmp_path / "drain.log"),
        ):
            wait_until(lambda: answers(port))
            record = (
                "import uuid, django; django.setup(); from tests.support.factories import event;"
                "from usage_billing.recording import record;"
                "record(*[event(request_id=uuid.uuid4().hex) for _ in range(5)])"
            )
            run("python", "-c", record, environment=web | {"DJANGO_SETTINGS_MODULE": "config.settings"})
            wait_until(lambda: health(port)["drained"] == 5)
            assert health(port)["backlog"] == 0
            token = run("python", "-c", NEW_TOKEN, environment=owner | {"DJANGO_SETTINGS_MODULE": "config.settings"})
            wait_until(lambda: answers(proxy_port))
            assert {called(proxy_port, token) for _ in range(10)} == {200}  # by each worker, most likely
            wait_until(lambda: health(port)["drained"] == 15)
            assert "usage_drained_events_total 15.0" in scraped(port)
            check = SERVICES["web"]["healthcheck"]["test"][1:]
            run(*(part.replace("8000", str(port)) for part in check), environment=web)

            server.stop("immediate")
            wait_until(lambda: health(port)["database"] == "away")
            assert "usage_database_up 0.0" in scraped(port)
            run("python", "-c", record, environment=web | {"DJANGO_SETTINGS_MODULE": "config.settings"})
            assert health(port)["backlog"] == 5
            # The token and the key are known: calls go on, and are recorded in the outbox.
            statuses = [called(proxy_port, token) for _ in range(10)]
            assert 200 in statuses
            assert set(statuses) <= {200, 503}  # 503: of a worker that nobody had called
            through = statuses.count(200)
            assert health(port)["backlog"] == 5 + through
            server.start_again()
            wait_until(lambda: health(port)["drained"] == 20 + through)

        assert f"Stopped; drained {20 + through} events. 0 are left" in (tmp_path / "drain.log").read_text()
        assert f"equal the ledger: {20 + through} calls" in run("python", "manage.py", "check_usage", environment=drain)
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT count(*) FROM token_usage").fetchone() == (20 + through,)


NEW_TOKEN = """
import django; django.setup()
from tests.support.proxied import save_keys, token
from usage_billing.models import Organization
save_keys()
print(token(Organization.objects.create(name="Proxied", slug="proxied")), end="")
"""


def called(port: int, token: str) -> int:
    """The status of a call through the proxy."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(
        "POST", "/proxy/openai/v1/chat/completions", json.dumps(CHAT), {"Authorization": f"Bearer {token}"}
    )
    status = connection.getresponse().status
    connection.close()
    return status


def answers(port: int) -> bool:
    try:
        return bool(health(port)["status"])
    except ConnectionError:
        return False


def health(port: int) -> dict[str, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/healthz")
    state: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return state


def scraped(port: int) -> str:
    request = Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urlopen(request, timeout=30) as answer:
        text: str = answer.read().decode()
    return text
