"""The thread beside the drain, and `check_alerts`: as processes of their own."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core import mail as django_mail
from django.utils import timezone

from tests.support import factories, loopback
from tests.support.factories import today
from tests.support.loopback import Answered, Loopback
from tests.usage_billing.alerts.conftest import budget, calls, channel, rule
from usage_billing.alerts import alert_thread
from usage_billing.ledger import drain_thread
from usage_billing.models import AlertDelivery, AlertFiring, AlertRule, Budget, Organization
from usage_billing.recording.outbox import Outbox

OK = Answered([b"ok"])


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback.serving(lambda _: OK) as server:
        yield server


@pytest.fixture
def environment(database_url: str, outbox: Outbox) -> dict[str, str]:
    return {
        **os.environ,
        "DEBUG": "1",
        "DATABASE_URL": database_url,
        "USAGE_OUTBOX_PATH": str(outbox.path),
        "USAGE_DRAIN": "off",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "ALERTS_ALLOW_PRIVATE_ADDRESSES": "1",
    }


@pytest.fixture
def crossed(environment: dict[str, str], server: Loopback) -> Organization:
    """An organisation whose budget of today is over 50 %, with a channel."""
    org = factories.organization()
    factories.rate(today(org))
    calls(org, at=timezone.now())
    budget(org, "0.001", thresholds=[50], window=Budget.Window.DAY)
    channel(org, server.url)
    return org


ROOT = Path(__file__).parents[3]


def manage(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


@contextmanager
def running(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "manage.py", *arguments]
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def test_the_command_says_what_it_did(crossed: Organization, environment: dict[str, str], server: Loopback) -> None:
    key = f"{today(crossed)}/50"
    code, out, _ = manage(environment, "check_alerts", "--dry-run")
    assert (code, AlertFiring.objects.count()) == (0, 0)
    assert f"firing: November {key}: 0.00056 (bound 0.0005), 0 messages" in out
    assert "1 alerts would be told. Nothing was changed or sent." in out
    code, out, _ = manage(environment, "check_alerts")
    assert code == 0
    assert f"firing: November {key}: 0.00056 (bound 0.0005), 1 messages" in out
    assert "1 alerts; sent 1 messages, 0 are tried again later, 0 are given up." in out
    assert len(server.requests) == 1
    assert "0 alerts; sent 0 messages" in manage(environment, "check_alerts")[1]


def test_the_command_fails_if_a_message_is_given_up(environment: dict[str, str]) -> None:
    org = factories.organization()
    calls(org, 10, at=timezone.now(), status="failed", error_code="500")
    rule(org, AlertRule.Kind.ERRORS, bound=50)
    channel(org, "ftp://example.com/")
    code, _, errors = manage(environment, "check_alerts")
    assert code == 1
    assert "Write an address that begins with https://" in errors
    assert "Correct their channels" in errors


def test_following_until_sigterm(crossed: Organization, environment: dict[str, str], server: Loopback) -> None:
    with running(environment, "check_alerts", "--follow") as process:
        wait_until(lambda: len(server.requests) == 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert AlertDelivery.objects.get().state == "sent"


def test_a_process_that_drains_evaluates_and_sends(
    crossed: Organization, environment: dict[str, str], server: Loopback
) -> None:
    with running(environment, "drain_usage", "--follow") as process:
        wait_until(lambda: len(server.requests) == 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert AlertDelivery.objects.get().state == "sent"


def test_several_drains_and_commands_tell_once(
    crossed: Organization, environment: dict[str, str], server: Loopback, tmp_path: Path
) -> None:
    """Two machines (an outbox each) and two commands."""
    other = environment | {"USAGE_OUTBOX_PATH": str(tmp_path / "other" / "outbox")}
    with (
        running(environment, "drain_usage", "--follow"),
        running(other, "drain_usage", "--follow"),
        running(environment, "check_alerts", "--follow"),
        running(other, "check_alerts", "--follow"),
    ):
        wait_until(lambda: len(server.requests) >= 1)
        for _ in range(3):
            manage(environment, "check_alerts")
    assert (AlertFiring.objects.count(), AlertDelivery.objects.count(), len(server.requests)) == (1, 1, 1)


def test_one_thread_a_machine(environment: dict[str, str], outbox: Outbox) -> None:
    """Another process holds the lock; a POSIX lock does not keep its own process out."""
    program = (
        "import django; django.setup()\n"
        "from usage_billing.alerts.alert_thread import _alone_on_this_machine\n"
        "with _alone_on_this_machine() as is_alone: print(is_alone)"
    )
    command = [sys.executable, "-c", program]

    def is_alone() -> str:
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert is_alone() == "True"
    with open(f"{outbox.path}.alerts", "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        assert is_alone() == "False"


def test_it_is_a_chore_of_the_drain_and_does_not_start_in_tests() -> None:
    assert alert_thread.start in drain_thread.chores
    assert hasattr(django_mail, "outbox")
    alert_thread.start()
    assert alert_thread._thread is None
