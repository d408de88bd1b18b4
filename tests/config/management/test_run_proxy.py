"""`manage.py run_proxy` serves the proxy and the pages, also with DEBUG."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx2

from tests.support.postgres import free_port
from tests.support.reliability.world import ROOT, wait_until


def test_it_serves_the_proxy_and_the_pages(tmp_path: Path) -> None:
    port = free_port()
    environment = os.environ | {"DEBUG": "1", "ALLOW_DEBUG_SERVER": "0", "DATABASE_URL": f"sqlite:///{tmp_path}/db"}
    command = [sys.executable, "manage.py", "run_proxy", f"--port={port}"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)

    def answers() -> bool:
        assert process.poll() is None
        try:
            return httpx2.get(f"http://127.0.0.1:{port}/proxy/").status_code == 404
        except httpx2.TransportError:
            return False

    try:
        wait_until(answers, seconds=60)
    finally:
        process.terminate()
        printed, _ = process.communicate(timeout=30)
    assert f"http://127.0.0.1:{port}/proxy/openai/v1" in printed
