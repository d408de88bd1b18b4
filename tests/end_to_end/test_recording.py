"""The main job: calls through the official SDKs, over real HTTP, into the ledger, through every kind of failure."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db.models import Sum
from pytest_django import Settings

from tests.support import factories, postgres, sdk_calls
from tests.support.configure import configure
from usage_billing import usage_context
from usage_billing.ledger import drain, drain_thread
from usage_billing.models import Organization, UsageRecord
from usage_billing.recording import health
from usage_billing.recording.outbox import Outbox

# Published prices, USD for a million tokens: OpenAI API pricing, GPT-4.1 mini; Anthropic pricing, Claude Haiku 4.5.
PRICES = {
    sdk_calls.OPENAI_MODEL: (Decimal("0.40"), Decimal("1.60")),
    sdk_calls.ANTHROPIC_MODEL: (Decimal(1), Decimal(5)),
}


@pytest.fixture(autouse=True)
def simulated(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no address: the clients find the simulator themselves."""
    configure(settings, SIMULATOR=True)
    for variable in os.environ:
        if variable.startswith(("OPENAI_", "ANTHROPIC_")):
            monkeypatch.delenv(variable)


def cost(used: sdk_calls.Used) -> Decimal:
    per_prompt, per_completion = PRICES[used.model]
    return (used.prompt * per_prompt + used.completion * per_completion) / 1_000_000


def recorded(org: Organization) -> Counter[sdk_calls.Used]:
    rows = UsageRecord.objects.filter(org=org).values_list("ai_model", "prompt_tokens", "completion_tokens")
    return Counter(sdk_calls.Used(*row) for row in rows)


def test_a_thousand_calls_are_a_thousand_records_with_exact_tokens_and_cost(
    transactional_db: None, drained: Callable[[], int]
) -> None:
    org = factories.organization()
    owner = factories.owner(org)
    factories.rate(factories.today(org), "80.5")
    with usage_context(org=org, user=owner, agent_id="legal_guard", request_type="custom_analysis"):
        used = sdk_calls.openai_calls(500) + sdk_calls.anthropic_calls(500)

    assert len(used) == 1000
    assert drained() == 1000
    assert recorded(org) == Counter(used)
    expected = sum(map(cost, used), Decimal(0))
    sums = UsageRecord.objects.filter(org=org).aggregate(usd=Sum("cost_usd"), rub=Sum("cost_rub"))
    assert round(sums["usd"], 9) == round(expected, 9)
    assert round(sums["rub"], 9) == round(expected * Decimal("80.5"), 9)
    said = UsageRecord.objects.values_list("org", "user", "agent_id", "request_type", "status").distinct()
    assert list(said) == [(org.pk, owner.pk, "legal_guard", "custom_analysis", "succeeded")]
    call_command("check_usage")


@pytest.mark.parametrize("mode", ["off", "thread"])
def test_calls_of_a_process_killed_after_the_last_one_are_all_recorded_once(
    database_url: str, outbox: Outbox, drained: Callable[[], int], mode: str
) -> None:
    org = factories.organization()
    process = run_caller(20, org, database_url=database_url, outbox=outbox.path, mode=mode)

    assert process.returncode == -signal.SIGKILL, process.stderr
    assert len(process.stdout.splitlines()) == 40
    drained()
    models = Counter(UsageRecord.objects.filter(org=org).values_list("ai_model", flat=True))
    assert models == {sdk_calls.OPENAI_MODEL: 20, sdk_calls.ANTHROPIC_MODEL: 20}
    assert set(UsageRecord.objects.values_list("status", flat=True)) == {"succeeded"}
    call_command("check_usage")


def test_calls_get_their_answers_while_the_outbox_is_read_only(
    outbox: Outbox, as_unprivileged_user: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    before = sdk_calls.openai_calls(5)
    outbox.close()
    for path in outbox.path.parent.iterdir():
        path.chmod(0o444)
    outbox.path.parent.chmod(0o555)
    as_unprivileged_user()

    during = sdk_calls.openai_calls(5) + sdk_calls.anthropic_calls(5)

    assert during[:5] == before
    state = health()
    assert state.lost == 10
    assert state.error != ""
    assert len([entry for entry in caplog.records if "could not be recorded" in entry.message]) == 1


def test_losses_are_known_to_other_processes_once_the_outbox_takes_writes_again(
    outbox: Outbox, as_unprivileged_user: Callable[[], None]
) -> None:
    sdk_calls.openai_calls(5)
    outbox.close()
    outbox.path.parent.chmod(0o555)
    outbox.path.chmod(0o444)
    as_unprivileged_user()
    sdk_calls.openai_calls(5)
    os.seteuid(os.getuid())
    outbox.path.parent.chmod(0o755)
    outbox.path.chmod(0o644)
    outbox.close()

    sdk_calls.openai_calls(5)

    assert Outbox(outbox.path).backlog().lost == 5
    assert health().lost == 5
    assert Outbox(outbox.path).backlog().events == 10


def test_a_locked_sqlite_database_delays_nothing_and_loses_nothing(
    database_url: str, outbox: Outbox, drained: Callable[[], int], settings: Settings
) -> None:
    if not database_url.startswith("sqlite"):
        pytest.skip("PostgreSQL is stopped for real below")
    org = factories.organization()
    blocker = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")

    with usage_context(org=org):
        used = sdk_calls.openai_calls(10) + sdk_calls.anthropic_calls(10)
    assert outbox.backlog().events == 20

    blocker.execute("ROLLBACK")
    blocker.close()
    assert drained() == 20
    assert recorded(org) == Counter(used)
    call_command("check_usage")


@pytest.mark.postgres
def test_a_stopped_postgresql_delays_nothing_and_loses_nothing(tmp_path: Path, outbox: Outbox) -> None:
    with postgres.temporary() as server:
        manage("migrate", database_url=server.url, outbox=outbox.path)
        server.stop("immediate")

        process = run_caller(10, None, database_url=server.url, outbox=outbox.path, mode="thread")

        assert process.returncode == -signal.SIGKILL, process.stderr
        assert outbox.backlog().events == 20
        refused = manage("drain_usage", database_url=server.url, outbox=outbox.path, fails=True)
        assert "the rest waits safely" in refused
        assert outbox.backlog().events == 20

        server.start_again()
        assert "Drained 20 events" in manage("drain_usage", database_url=server.url, outbox=outbox.path)
        assert "equal the ledger: 20 calls" in manage("check_usage", database_url=server.url, outbox=outbox.path)


def test_the_drain_thread_survives_an_outage_and_drains_by_itself(
    transactional_db: None, outbox: Outbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread itself, in a process of its own, is above; here it meets errors of every kind and goes on."""
    failures = iter(
        [
            drain.DatabaseAwayError("database is starting up"),
            RuntimeError("a bug"),
            drain.DrainBusyError("another drain"),
        ]
    )
    attempts = []

    def failing(box: Outbox, go_on: object) -> int:
        attempts.append(box)
        if (failure := next(failures, None)) is not None:
            raise failure
        raise SystemExit

    monkeypatch.setattr(drain, "drain_all", failing)
    for pause in ("GATHER_S", "IDLE_S", "LONGEST_PAUSE_S"):
        monkeypatch.setattr(drain_thread, pause, 0.01)
    with pytest.raises(SystemExit):
        drain_thread._run()
    assert len(attempts) == 4


# ── Processes ────────────────────────────────────────────────────────────────────────────────────────────────────


def environment(*, database_url: str, outbox: Path, mode: str = "off") -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "ANTHROPIC_"))}
    return own | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEBUG": "1",
        "DATABASE_URL": database_url,
        "USAGE_OUTBOX_PATH": str(outbox),
        "USAGE_DRAIN": mode,
    }


def run_caller(
    number: int, org: Organization | None, *, database_url: str, outbox: Path, mode: str
) -> subprocess.CompletedProcess[str]:
    """A process that makes `number` calls of each SDK and is killed by SIGKILL when the last one has returned."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support.sdk_calls", str(number), str(org.pk if org else 0)],
        env=environment(database_url=database_url, outbox=outbox, mode=mode),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def manage(command: str, *, database_url: str, outbox: Path, fails: bool = False) -> str:
    """The output of `manage.py command`."""
    process = subprocess.run(
        [sys.executable, "manage.py", command],
        env=environment(database_url=database_url, outbox=outbox),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (process.returncode != 0) == fails, process.stderr
    return process.stderr if fails else process.stdout


@pytest.fixture
def as_unprivileged_user() -> Iterator[Callable[[], None]]:
    """Root may write to what is read-only: become somebody who may not, until the test is over."""

    def become() -> None:
        if os.geteuid() == 0:
            os.seteuid(65534)

    yield become
    os.seteuid(os.getuid())
