"""`create_token` prints the token alone, and says what is wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.support import factories
from usage_billing.auth.service_tokens import program_of
from usage_billing.models import Organization, ServiceToken

pytestmark = pytest.mark.django_db


def run(*arguments: Any) -> None:
    call_command("create_token", *arguments)


def test_it_prints_the_token_alone(capsys: pytest.CaptureFixture[str]) -> None:
    org = factories.organization()
    models = ("--model", "gpt-6-luna", "--model", "claude-opus-5-5")
    run("--name", "gateway", "--org", org.slug, "--scope", "proxy", "--scope", "ingest", *models, "--days", "30")
    out, err = capsys.readouterr()
    program = program_of(out.removesuffix("\n"))
    assert program is not None
    assert (program.name, program.org_id, program.scopes) == ("gateway", org.pk, frozenset({"ingest", "proxy"}))
    assert program.allowed_models == ("gpt-6-luna", "claude-opus-5-5")
    assert program.expires_at is not None
    assert timedelta(days=29, hours=23) < program.expires_at - timezone.now() < timedelta(days=30)
    assert err.startswith(f"Made the service token “gateway” of the organisation {org.slug}: ingest, proxy until ")
    token = ServiceToken.objects.get()
    assert token.by == token.changes.get().by == "manage.py create_token"


def test_one_of_all_organisations_without_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    run("--name", "collector", "--all", "--scope", "ingest")
    program = program_of(capsys.readouterr().out.strip())
    assert program is not None
    assert (program.org_id, program.expires_at, program.allowed_models) == (None, None, ())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--all", "--scope", "ingest"), "--name"),
        (("--name", "x", "--scope", "ingest"), "one of the arguments --org --all is required"),
        (("--name", "x", "--org", "red", "--all", "--scope", "ingest"), "not allowed with argument"),
        (("--name", "x", "--all"), "--scope"),
        (("--name", "x", "--all", "--scope", "admin"), "invalid choice: 'admin'"),
        (("--name", "x", "--all", "--scope", "read", "--days", "0"), "“0” is no number of days from 1 to 36500."),
        (("--name", "x", "--all", "--scope", "read", "--days", "9" * 30), "is no number of days"),
        (("--name", " ", "--all", "--scope", "read"), "Give the token a name: of the program that will use it."),
        (("--name", "x" * 65, "--all", "--scope", "read"), "Write a shorter name, of at most 64 letters."),
        (("--name", "x\n", "--all", "--scope", "read", "--model", "a\0b"), "Write at most 100 names of models"),
        (("--name", "x", "--org", "blue", "--scope", "read"), "no open organisation “blue”. There are: green, red."),
        (("--name", "x", "--org", "shut", "--scope", "read"), "no open organisation “shut”. There are: green, red."),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(
    arguments: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Organization.objects.exclude(slug="unattributed").delete()
    for slug in ("red", "green", "shut"):
        Organization.objects.create(name=slug, slug=slug, closed_at=timezone.now() if slug == "shut" else None)
    with pytest.raises(CommandError) as refused:
        run(*arguments)
    assert text in str(refused.value)
    assert capsys.readouterr().out == ""
    assert not ServiceToken.objects.exists()
