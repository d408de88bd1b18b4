"""A server refuses to start without required settings; commands run without them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.support.postgres import free_port
from tests.support.reliability.world import ROOT, wait_until


def run(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("DEBUG", "SECRET_KEY")}
    environment = inherited | {"DJANGO_SETTINGS_MODULE": "config.settings", "DEBUG": "0"} | variables
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("server", ["config.wsgi", "config.asgi"])
def test_server_without_a_secret_key_says_what_to_set(server: str) -> None:
    refused = run(f"import {server}")
    assert refused.returncode != 0
    assert "Set SECRET_KEY" in refused.stderr
    assert run(f"import {server}", SECRET_KEY="s" * 50).returncode == 0
    assert run(f"import {server}", DEBUG="1", ALLOW_DEBUG_SERVER="1").returncode == 0


@pytest.mark.parametrize("server", ["config.wsgi", "config.asgi"])
def test_server_with_debug_on_says_how_to_turn_it_off(server: str) -> None:
    refused = run(f"import {server}", SECRET_KEY="s" * 50, DEBUG="1")
    assert refused.returncode != 0
    assert "set DEBUG=0" in refused.stderr
    assert run(f"import {server}", SECRET_KEY="s" * 50, DEBUG="1", ALLOW_DEBUG_SERVER="0").returncode != 0


def test_a_leftover_development_env_file_starts_no_server(tmp_path: Path) -> None:
    """The checkout contains the `.env` that `make run` creates."""
    shutil.copytree(ROOT / "config", tmp_path / "own" / "config")
    (tmp_path / "own" / ".env").write_text("DEBUG=1\n")
    environment = {name: value for name, value in os.environ.items() if name != "DEBUG"} | {"PYTHONPATH": str(ROOT)}
    refused = subprocess.run(
        [sys.executable, "-c", "import config.wsgi"], cwd=tmp_path / "own", env=environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (refused.returncode, "DEBUG is on" in refused.stderr) == (1, True), refused.stderr


def test_runserver_serves_with_debug_on(tmp_path: Path) -> None:
    port = free_port()
    environment = os.environ | {"DEBUG": "1", "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3", "USAGE_DRAIN": "off"}
    environment |= {"USAGE_OUTBOX_PATH": str(tmp_path / "outbox" / "outbox.sqlite3")}
    command = [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            wait_until(lambda: server.poll() is not None or answers(f"http://127.0.0.1:{port}/healthz"))
            assert server.poll() is None, (tmp_path / "log").read_text()
        finally:
            server.terminate()
            server.wait(30)


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=30) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


@pytest.mark.parametrize("name", ["ai-costs.env.example"])
def test_example_environment_is_not_for_development(name: str) -> None:
    assert "DEBUG=0" in (ROOT / "deploy" / name).read_text().splitlines()


def test_command_without_a_secret_key_works() -> None:
    checked = run("from django.core.management import execute_from_command_line as run; run(['manage.py', 'check'])")
    assert checked.returncode == 0, checked.stderr


def test_production_calls_no_simulator_unless_told() -> None:
    program = "import django; django.setup(); from usage_billing.conf import conf; assert not conf.SIMULATOR"
    assert run(program).returncode == 0
    assert run(program, AI_SIMULATOR="1").returncode != 0


def test_pages_work_before_static_files_are_collected_and_name_their_hashes_after(tmp_path: Path) -> None:
    page = (
        "import django; django.setup(); from django.test import Client;"
        "answer = Client(headers={'host': 'localhost'}).get('/login/', secure=True); assert answer.status_code == 200;"
        "print(answer.content.decode())"
    )
    collect = "from django.core.management import execute_from_command_line as run; run(['', 'collectstatic', '-v0'])"
    place = {"SECRET_KEY": "s" * 50, "STATIC_ROOT": str(tmp_path / "static"), "DATABASE_URL": "sqlite://:memory:"}
    assert 'href="/static/usage_billing/pages.css"' in run(page, **place).stdout
    assert run(collect, **place).returncode == 0
    assert re.search(r'href="/static/usage_billing/pages\.[0-9a-f]{12}\.css"', run(page, **place).stdout)
