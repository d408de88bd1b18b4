"""Commands escape control characters in their output."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class

from tests.support.factories import event
from usage_billing.management.printable_command import PrintableCommand
from usage_billing.monitoring.printable import printable
from usage_billing.recording.event import encode
from usage_billing.recording.outbox import Outbox

HOSTILE = "m\x1b]0;owned\x07\n7  2026-01-01 00:00:00Z  forged\u202e"


class Command(PrintableCommand):
    """A command that fails after printing."""

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(HOSTILE)
        self.stdout.write("a line of its own\n")
        self.stderr.write(HOSTILE)
        raise CommandError(HOSTILE)


def test_each_text_is_one_line() -> None:
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError):
        call_command(Command(), stdout=out, stderr=err, skip_checks=True)
    assert out.getvalue() == f"{printable(HOSTILE)}\na line of its own\n"
    assert err.getvalue() == f"{printable(HOSTILE)}\n"


def test_an_error_is_escaped_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Command().run_from_argv(["manage.py", "x", "--skip-checks"])
    shown = capsys.readouterr()
    assert shown.out == f"{printable(HOSTILE)}\na line of its own\n"
    assert shown.err == f"{printable(HOSTILE)}\nCommandError: {printable(HOSTILE)}\n"


def test_every_command_of_ours_prints_so() -> None:
    ours = {name: app for name, app in get_commands().items() if app in ("usage_billing", "ai_clients.assistants")}
    assert len(ours) > 10
    assert [name for name, app in ours.items() if not isinstance(load_command_class(app, name), PrintableCommand)] == []


@pytest.mark.django_db
def test_rejected_events_are_listed_a_line_each(outbox: Outbox, capsys: pytest.CaptureFixture[str]) -> None:
    outbox.append(encode(event(model=HOSTILE, request_id=HOSTILE)))
    ((id_, _body),) = outbox.read(10)
    outbox.reject(id_, HOSTILE)
    call_command("drain_usage", "--list-rejected")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].count(printable(HOSTILE)) == 2
    assert all(line.isprintable() for line in lines)
