"""`manage.py run_agent`: the result and its cost as JSON, or one sentence on what is wrong."""

from __future__ import annotations

import io
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from ai_clients.assistants.models import ContentPiece
from tests.support import factories
from tests.support.configure import configure
from tests.support.recorded import Recorded
from usage_billing.models import Organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def org() -> Organization:
    org = factories.organization()
    factories.rate(factories.today(org), "80.5")
    return org


def run(agent: str, given: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any, **options: Any) -> Any:
    monkeypatch.setattr("sys.stdin", io.StringIO(given if isinstance(given, str) else json.dumps(given)))
    call_command("run_agent", agent, input="-", **options)
    return json.loads(capsys.readouterr().out)


def test_result_and_cost_are_printed_as_json(
    org: Organization, simulated: dict[str, str], recorded: Recorded, capsys: Any, monkeypatch: Any
) -> None:
    person = factories.member(org)
    content = ContentPiece.objects.create(org=org, title="Кофе", text="Кофе полезен.", content_type="post")
    answer = run(
        "legal_guard", {}, capsys, monkeypatch, user=person.username, content=content.pk, workflow="w", org=org.slug
    )
    assert (answer["agent_id"], answer["org"], answer["workflow_id"]) == ("legal_guard", org.slug, "w")
    assert set(answer["output"]) == {"is_advertising", "verdict", "findings", "summary"}
    assert (answer["cost"]["requests_count"], answer["cost"]["unpriced_count"]) == (1, 0)
    given = recorded.one().attribution
    assert (given.org_id, given.user_id, given.content_id, given.content_type) == (
        org.pk, person.pk, str(content.pk), "post",
    )  # fmt: skip


def test_on_nobodys_behalf_any_organisation_is_charged(
    org: Organization, simulated: dict[str, str], recorded: Recorded, capsys: Any, tmp_path: Path
) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"comment": "Спасибо!"}', encoding="utf-8")
    call_command("run_agent", "community_concierge", input=str(file), org=org.slug)
    assert json.loads(capsys.readouterr().out)["output"]["reply"]
    given = recorded.one().attribution
    assert (given.org_id, given.user_id) == (org.pk, None)


@pytest.mark.parametrize(
    ("agent", "given", "options", "said"),
    [
        ("no_such", {}, {}, "There is no agent no_such. There are community_concierge"),
        ("legal_guard", "{", {"org": "ours"}, "The input is no JSON"),
        ("legal_guard", "[]", {"org": "ours"}, "must be a JSON object"),
        ("legal_guard", {"text": ""}, {"org": "ours"}, "text: "),
        ("legal_guard", {"text": "x"}, {}, "Say with --org"),
        ("legal_guard", {"text": "x"}, {"org": "theirs"}, "There is no organisation theirs"),
        ("legal_guard", {"text": "x"}, {"user": "nobody"}, "There is no user nobody"),
        ("legal_guard", {"text": "x"}, {"content": uuid.UUID(int=1)}, "There is no content piece"),
    ],
)
def test_what_is_wrong_is_said(
    simulated: dict[str, str],
    recorded: Recorded,
    capsys: Any,
    monkeypatch: Any,
    agent: str,
    given: Any,
    options: dict[str, Any],
    said: str,
) -> None:
    Organization.objects.create(name="Ours", slug="ours")
    with pytest.raises(CommandError, match=said):
        run(agent, given, capsys, monkeypatch, **options)
    assert recorded.all() == []


def test_a_user_charges_their_own_organisation_alone(
    org: Organization, simulated: dict[str, str], capsys: Any, monkeypatch: Any
) -> None:
    person, other = factories.owner(org), factories.organization()
    assert run("legal_guard", {"text": "x"}, capsys, monkeypatch, user=person.username)["org"] == org.slug
    with pytest.raises(CommandError, match=f"There is no organisation {other.slug}"):
        run("legal_guard", {"text": "x"}, capsys, monkeypatch, user=person.username, org=other.slug)


def test_file_that_is_not_there(org: Organization) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("run_agent", "legal_guard", input="/no/such/file", org=org.slug)


@pytest.mark.parametrize(("header", "value"), [("X-Simulator-Answer", "refused"), ("X-Simulator-Statuses", "401")])
def test_failure_says_what_it_cost(
    org: Organization,
    simulated: dict[str, str],
    recorded: Recorded,
    capsys: Any,
    monkeypatch: Any,
    header: str,
    value: str,
) -> None:
    simulated[header] = value
    with pytest.raises(CommandError, match=r'"requests_count": 1, .*"cost_usd": "0'):
        run("legal_guard", {"text": "x"}, capsys, monkeypatch, org=org.slug)
    assert recorded.one().attribution.org_id == org.pk


def test_without_a_key_it_says_what_is_missing(
    org: Organization, settings: Any, recorded: Recorded, capsys: Any, monkeypatch: Any
) -> None:
    configure(settings, SIMULATOR=False)
    for agent, variable in (("legal_guard", "ANTHROPIC_API_KEY"), ("multimedia_producer", "OPENAI_API_KEY")):
        with pytest.raises(CommandError, match=variable):
            run(agent, {"text": "x"}, capsys, monkeypatch, org=org.slug)
    assert recorded.all() == []
