"""Another process of this machine that drains."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = """
import sys, time
from pathlib import Path
import django
django.setup()
from usage_billing.ledger import drain
with drain.exclusively(Path(sys.argv[1])):
    print("draining", flush=True)
    time.sleep(60)
"""


@contextmanager
def other_drain(outbox: Path) -> Iterator[None]:
    """Let another process be the one that drains this outbox; kill it at the end."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-c", PROGRAM, str(outbox)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"draining\n"
            yield
        finally:
            other.kill()
