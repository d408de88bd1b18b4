"""`update_participant_roles` and `send_weekly_digests`, as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from ai_clients.assistants.models import Participant
from tests.support import factories, mail_server, people
from tests.support.factories import event
from tests.support.mail_server import MailServer
from tests.support.recorded import Recorded
from usage_billing.ledger import writer


@pytest.fixture
def environment(database_url: str, recorded: Recorded) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "ANTHROPIC_"))}
    return own | {
        "DEBUG": "1",
        "DATABASE_URL": database_url,
        "USAGE_OUTBOX_PATH": str(recorded.path),
        "USAGE_DRAIN": "off",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server.running() as server:
        yield server


def start(command: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", command],
        env=environment,
        cwd=Path(__file__).parents[4],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(command: str, environment: dict[str, str]) -> tuple[int, str, str]:
    process = start(command, environment)
    out, errors = process.communicate(timeout=120)
    return process.returncode, out.strip(), errors


def test_a_killed_role_update_is_gone_on_with(environment: dict[str, str], recorded: Recorded) -> None:
    org = factories.organization()
    for number in range(12):
        people.talkative(org, f"Автор {number}")
    analysed = Participant.objects.filter(analysed_at__isnull=False)

    process = start("update_participant_roles", environment)
    while analysed.count() < 2 and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = set(analysed.values_list("pk", flat=True))
    assert 2 <= len(done) < 12
    # The interrupted one is free when its claim expires: let it be an old claim.
    Participant.objects.update(claimed_at=None)

    code, out, _ = run("update_participant_roles", environment)
    assert (code, out) == (
        0,
        f"Analysed {12 - len(done)} participants of 1 organisations; 0 skipped, 0 failed.",
    )
    asked = [given.attribution.metadata["participant_id"] for given in recorded.all()]
    assert {pk: asked.count(pk) for pk in done} == dict.fromkeys(done, 1)
    assert set(asked) == set(Participant.objects.values_list("pk", flat=True))
    assert run("update_participant_roles", environment)[1].startswith("Analysed 0 participants")


def test_a_role_update_with_failures_names_them_and_exits_with_one(environment: dict[str, str]) -> None:
    author = people.talkative(factories.organization())
    broken = environment | {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    code, _, errors = run("update_participant_roles", broken)
    assert code == 1
    assert f"Participant {author.pk} of organisation {author.org_id}: APIConnectionError: " in errors
    assert "Analysed 0 participants of 1 organisations; 0 skipped, 1 failed. Run it again" in errors


def test_digests_go_out_once_by_smtp_however_many_commands_run(environment: dict[str, str], mail: MailServer) -> None:
    org = factories.organization("Северный ветер")
    people.subscriber(factories.owner(org), org, "olga@example.com")
    writer.add([event(org=org, at=timezone.now() - timedelta(days=7), attribution={"request_type": "legal_check"})])
    by_smtp = environment | {"EMAIL_URL": f"smtp://127.0.0.1:{mail.port}", "DEFAULT_FROM_EMAIL": "costs@example.com"}

    processes = [start("send_weekly_digests", by_smtp) for _ in range(3)]
    outs = [process.communicate(timeout=120)[0].strip() for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(out.partition(";")[0] for out in outs) == [
        "Sent the digests of 0 organisations",
        "Sent the digests of 0 organisations",
        "Sent the digests of 1 organisations",
    ]
    assert mail.recipients == ["olga@example.com"]
    assert mail.received[0][1]["From"] == "costs@example.com"
    assert run("send_weekly_digests", by_smtp)[1].startswith("Sent the digests of 0 organisations")
    assert len(mail.received) == 1


def test_in_development_the_digest_goes_to_the_console(environment: dict[str, str]) -> None:
    org = factories.organization("Северный ветер")
    people.subscriber(factories.owner(org), org, "olga@example.com")
    writer.add([event(org=org, at=timezone.now() - timedelta(days=7), attribution={"request_type": "legal_check"})])
    code, out, errors = run("send_weekly_digests", environment)
    assert code == 0, errors
    assert "To: olga@example.com" in out
    assert "Sent the digests of 1 organisations" in out
