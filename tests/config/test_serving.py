"""A server refuses to start without what it needs; a command does not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


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
    assert run(f"import {server}", DEBUG="1").returncode == 0


def test_command_without_a_secret_key_works() -> None:
    checked = run("from django.core.management import execute_from_command_line as run; run(['manage.py', 'check'])")
    assert checked.returncode == 0, checked.stderr


def test_production_calls_no_simulator_unless_told() -> None:
    program = "import django; django.setup(); from django.conf import settings; assert not settings.AI_SIMULATOR"
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
