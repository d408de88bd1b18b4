"""Eight processes of sixteen threads spend one budget, while callers, the drain and the database are killed."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support import loopback, postgres, spending
from tests.support.reliability import spender
from tests.support.reliability.world import PREFIX, ROOT, SECRET_KEY, Figures, Site, kill_postgres, times

PROCESSES, THREADS = 8, 16
LIMIT = Decimal(times(6, 60))
SECONDS = times(40, 400)
CENT = Decimal("0.01")


@dataclass
class Stage:
    """Processes with one database, and where it is. web: the URL that callers log in with, as the web does."""

    environment: dict[str, str]
    web: str
    server: postgres.Server | None
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=self.environment | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.running.append(process)
        return process

    def run(self, *command: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=180,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.split()

    def spender(self, *arguments: str) -> list[str]:
        return self.run("-m", "tests.support.reliability.spender", *arguments)

    def end(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()


@pytest.fixture(params=["sqlite", "postgresql"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    own = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "USAGE_ROLE_PREFIX") if name in os.environ}
    environment = own | {
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEBUG": "0",
        "SECRET_KEY": SECRET_KEY,
        "USAGE_OUTBOX_PATH": str(tmp_path / "outbox" / "outbox"),
        "USAGE_DRAIN": "off",
        "ALERTS_ALLOW_PRIVATE_ADDRESSES": "1",
    }
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'budgets.sqlite3'}"
        made = Stage(environment | {"DATABASE_URL": url}, url, None)
        made.run("manage.py", "migrate", "--verbosity=0")
    else:
        site: Site = request.getfixturevalue("site")
        password = secrets.token_hex(8)
        site.sql(f"ALTER ROLE {PREFIX}_web LOGIN PASSWORD '{password}'")
        web = f"postgres://{PREFIX}_web:{password}@127.0.0.1:{site.server.port}/postgres"
        made = Stage(environment | {"DATABASE_URL": site.database_url}, web, site.server)
    yield made
    made.end()


def test_a_budget_holds_while_everything_is_killed(stage: Stage, record_property: Figures) -> None:
    told: Counter[bytes] = Counter()
    """The messages that arrived: one for each threshold of the budget."""

    def take(received: loopback.Received) -> loopback.Answered:
        told[received.body] += 1
        return loopback.of_json({"ok": True})

    with loopback.serving(take) as hook, spending.provider() as provider:
        stage.environment["OPENAI_BASE_URL"] = f"{provider.server.url}/v1"
        org, budget = stage.spender("prepare", str(LIMIT), f"{hook.url}/{secrets.token_hex(4)}")
        drain = ["manage.py", "drain_usage", "--follow"]
        until = time.monotonic() + SECONDS + spender.LIFE.total_seconds()
        command = ["-m", "tests.support.reliability.spender", "spend", org, str(THREADS)]

        def spending_process() -> subprocess.Popen[str]:
            return stage.start(*command, str(max(1, until - time.monotonic())), DATABASE_URL=stage.web)

        def kill(number: int) -> None:
            spenders[number].kill()
            spenders[number] = spending_process()

        spenders = [spending_process() for _ in range(PROCESSES)]
        while provider.calls < LIMIT / CENT / 3:
            time.sleep(0.1)
        # No drain runs for longer than a lease lives: what the dead have recorded is neither spent nor free.
        for number in range(PROCESSES):
            kill(number)
        killed = PROCESSES
        time.sleep(spender.LIFE.total_seconds() + 2)
        draining = stage.start(*drain)
        while time.monotonic() < until - SECONDS / 2:
            time.sleep(random.uniform(1, 3))
            match random.choice(["spender", "spender", "drain", "database"]):
                case "spender":
                    kill(random.randrange(PROCESSES))
                    killed += 1
                case "drain":
                    draining.kill()
                    draining = stage.start(*drain)
                case "database" if stage.server is not None:
                    kill_postgres(stage.server)
                    stage.server.start_again()
        telling = [threading.Thread(target=stage.spender, args=("tell",)) for _ in range(3)]
        for thread in telling:
            thread.start()
        outputs = [process.communicate(timeout=180)[0].split() for process in spenders]
        for thread in telling:
            thread.join()
        # The last calls, one by one: what the dead had leased is free again.
        last = stage.start(*command[:-1], "1", "30").communicate(timeout=120)[0].split()
        draining.terminate()
        draining.communicate(timeout=60)
        stage.run("manage.py", "drain_usage")
        spent, reserved = map(Decimal, stage.spender("look", budget))
        stage.spender("tell")
        stage.run("manage.py", "check_usage")
    refused = sum(int(refused) for _, refused, _ in outputs)
    sent = provider.calls
    record_property(
        "figures",
        f"limit {LIMIT}, spent {spent}, reserved {reserved}, sent {sent}, refused {refused}, killed {killed},"
        f" last {last}, told {sorted(told.values())}",
    )
    assert spent <= LIMIT
    # Calls that were under way when their process was killed are paid for at the provider, and leave no record.
    assert sent * CENT <= LIMIT + killed * THREADS * CENT
    assert spent >= LIMIT - 2 * CENT
    assert reserved == 0
    assert sum(int(answered) for answered, _, _ in outputs) > 0
    assert refused > 0
    assert len(told) == 3
    assert set(told.values()) == {1}
