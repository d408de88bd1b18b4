"""The pages of the agents: the list, the forms, the results, who may run them and who pays."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from ai_clients.assistants.agents import agents
from ai_clients.assistants.models import ContentPiece
from tests.support import admin_client, factories, people
from tests.support.agent_forms import INPUTS, sent
from tests.support.recorded import Recorded
from tests.support.rows import enter, row
from usage_billing.models import Membership, UsageRecord

pytestmark = pytest.mark.django_db

MAY = ("view_contentpiece", "change_contentpiece")


@pytest.fixture(autouse=True)
def in_english(settings: Settings) -> None:
    settings.LANGUAGE_CODE = "en"


def of_piece(piece: ContentPiece, agent_id: str = "legal_guard") -> str:
    return reverse("admin:ai_assistants_contentpiece_run_agent", args=[piece.pk, agent_id])


def of_agent(agent_id: str) -> str:
    return reverse("admin:ai_assistants_agent_run", args=[agent_id])


def run_id(page: Any) -> str:
    (found,) = re.findall(r'name="run_id" value="([0-9a-f]{32})"', page.content.decode())
    return str(found)


# ── The list ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_list_has_each_agent_with_its_model_and_its_cost() -> None:
    org, client = factories.organization(), admin_client.superadmin()
    enter(row(org, agent_id="repurpose", created_at=timezone.now()))
    page = client.get(reverse("admin:ai_assistants_agents")).content.decode()
    for agent in agents().values():
        assert str(agent.name) in page
        assert agent.runs_on()[1] in page
        assert of_agent(agent.id) in page
    assert page.count("$0.50") == 1
    assert "agent_id=repurpose&amp;days=30" in page


def test_list_of_a_piece_has_the_agents_that_read_a_text() -> None:
    piece, client = people.piece(factories.organization()), admin_client.superadmin()
    page = client.get(reverse("admin:ai_assistants_contentpiece_run", args=[piece.pk])).content.decode()
    assert of_piece(piece, "legal_guard") in page
    assert "trends_scout" not in page
    assert client.get(of_piece(piece, "trends_scout")).status_code == 404


# ── A form and its result ────────────────────────────────────────────────────────────────────────────────────────────


def test_form_is_filled_in_from_the_piece() -> None:
    piece = people.piece(factories.organization(), "Coffee", "Coffee is good.", platform="vk")
    client = admin_client.superadmin()
    form = client.get(of_piece(piece)).context["form"]
    assert [form[name].value() for name in ("text", "title", "platform")] == ["Coffee is good.", "Coffee", "vk"]
    assert client.get(of_piece(piece, "repurpose")).context["form"]["platform"].value() is None


def test_run_shows_its_output_its_cost_and_the_way_to_its_calls(
    simulated: dict[str, str], recorded: Recorded, drained: Any
) -> None:
    org, client = factories.organization(), admin_client.superadmin()
    factories.rate(factories.today(org), "80.5")
    piece = people.piece(org, platform="vk", content_type="post")
    answer = {"is_advertising": True, "verdict": "ask_a_lawyer", "summary": "Первое.\n\nВторое.", "findings": []}
    simulated["X-Simulator-Text"] = people.answer(**answer)
    page = client.post(of_piece(piece), sent({"text": "Кофе.", "title": "", "platform": ""}))
    html = page.content.decode()
    assert "<p>Первое.</p>" in html
    assert '<span class="ai-badge warning">ask a lawyer</span>' in html
    assert "{&quot;" not in html
    given = recorded.one().attribution
    assert (given.org_id, given.content_id, given.agent_id, given.platform, given.content_type) == (
        org.pk, str(piece.pk), "legal_guard", "vk", "post",
    )  # fmt: skip
    assert given.user_id == int(client.session["_auth_user_id"])
    measured = page.context["measured"]
    assert (measured.workflow_id, measured.models) == (given.workflow_id, ("claude-sonnet-5-5",))
    assert f"{measured.spent.prompt_tokens:,}" in html
    assert "1 call is being recorded." in html
    drained()
    part = client.get(page.context["part_address"]).content.decode()
    call = UsageRecord.objects.get()
    assert reverse("usage_billing:ai-costs-call", args=[call.pk]) in part
    assert call.cost_usd == measured.spent.cost_usd


@pytest.mark.parametrize("agent_id", sorted(agents()))
def test_every_agent_runs_from_its_own_page(simulated: dict[str, str], recorded: Recorded, agent_id: str) -> None:
    org, client = factories.organization(), admin_client.superadmin()
    page = client.post(of_agent(agent_id), {**sent(INPUTS[agent_id]), "org": org.pk})
    assert page.context["errors"] == []
    assert page.context["output"].fields
    calls = recorded.all()
    assert {(call.attribution.org_id, call.attribution.agent_id) for call in calls} == {(org.pk, agent_id)}
    assert page.context["measured"].spent.requests_count == len(calls)


def test_picture_is_shown_and_can_be_kept(simulated: dict[str, str]) -> None:
    piece = people.piece(factories.organization())
    page = admin_client.superadmin().post(
        of_piece(piece, "multimedia_producer"), sent({"text": "x", "shape": "square", "quality": "low"})
    )
    html = page.content.decode()
    assert '<img class="ai-image" src="data:image/png;base64,iVBOR' in html
    assert re.search(r'<a href="data:image/png;base64,iVBOR[^"]*" download>', html)


def test_wrong_input_is_said_at_the_field_and_in_the_summary(simulated: dict[str, str], recorded: Recorded) -> None:
    piece = people.piece(factories.organization())
    page = admin_client.superadmin().post(of_piece(piece, "repurpose"), sent({"text": "", "platform": "fax"}))
    html = page.content.decode()
    assert '<a href="#id_input-text">Text</a>: This field is required.' in html
    assert '<a href="#id_input-platform">Platform</a>: Select a valid choice.' in html
    assert html.count('aria-invalid="true"') == 2
    assert 'aria-describedby="id_input-text_helptext id_input-text_error"' in html
    assert 'id="id_input-text_error"' in html
    assert recorded.all() == []


def test_every_label_is_bound_to_its_field() -> None:
    client, org = admin_client.superadmin(), factories.organization()
    factories.organization()
    for agent_id in agents():
        html = client.get(of_agent(agent_id)).content.decode()
        form = html[html.index('class="ai-form"') : html.rindex("</form>")]
        labels = re.findall(r'<label for="([^"]+)"', form)
        fields = re.findall(r'<(?:input(?! type="hidden")|select|textarea)[^>]* id="([^"]+)"', form)
        assert sorted(labels) == sorted(fields)
        assert "id_org" in labels
        assert not re.search(r"\sstyle=|\son[a-z]+=", form)
    assert org.name in html


def test_more_rows_are_added_without_a_run(simulated: dict[str, str], recorded: Recorded) -> None:
    org, client = factories.organization(), admin_client.superadmin()
    factories.organization()
    typed = {"text": "Текст", "sources": [{"title": "Опрос", "text": ""}, {}], "most_claims": 4}
    page = client.post(of_agent("research_factcheck"), {**sent(typed), "org": org.pk, "add_rows": "input-sources"})
    html = page.content.decode()
    assert len(page.context["form"].rows["sources"].forms) == 5
    assert 'value="Опрос"' in html
    assert f'<option value="{org.pk}" selected>' in html
    assert page.context["errors"] == []
    assert recorded.all() == []


# ── Paying once ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_form_sent_twice_runs_once_and_the_next_form_runs_again(
    simulated: dict[str, str], recorded: Recorded, drained: Any
) -> None:
    piece, client = people.piece(factories.organization()), admin_client.superadmin()
    first = sent({"text": "Кофе."}) | {"run_id": run_id(client.get(of_piece(piece)))}
    done = client.post(of_piece(piece), first)
    assert recorded.one().attribution.workflow_id == first["run_id"]
    drained()
    again = client.post(of_piece(piece), first)
    assert "This form was sent before, so nothing was run." in again.content.decode()
    assert f"workflow_id={first['run_id']}" in again.content.decode()
    assert "output" not in again.context
    assert recorded.all() == []
    for page in (done, again):
        client.post(of_piece(piece), {**first, "run_id": run_id(page)})
    assert len({event.attribution.workflow_id for event in recorded.all()} - {first["run_id"]}) == 2


def test_a_form_with_an_error_keeps_its_id(simulated: dict[str, str], recorded: Recorded) -> None:
    piece, client = people.piece(factories.organization()), admin_client.superadmin()
    first = run_id(client.get(of_piece(piece)))
    assert run_id(client.post(of_piece(piece), {**sent({"text": ""}), "run_id": first})) == first
    assert run_id(client.post(of_piece(piece), {**sent({"text": ""}), "run_id": "../x"})) != "../x"


# ── Failures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("header", "value", "said"),
    [
        ("X-Simulator-Answer", "refused", "The model refused this task."),
        ("X-Simulator-Statuses", "429", "The provider takes no more requests for now."),
    ],
)
def test_failure_is_said_and_its_cost_too(simulated: dict[str, str], header: str, value: str, said: str) -> None:
    simulated[header] = value
    page = admin_client.superadmin().post(of_piece(people.piece(factories.organization())), sent({"text": "Кофе."}))
    html = page.content.decode()
    assert said in html
    assert "Cost of this run" in html
    assert "output" not in page.context
    assert "Кофе." in html


# ── Who ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_staff_run_agents_for_their_own_organisations_alone(simulated: dict[str, str], recorded: Recorded) -> None:
    ours, theirs = factories.organization("Ours"), factories.organization("Zpetn3")
    own, other = people.piece(ours), people.piece(theirs, "Zpetn3 text")
    client = admin_client.staff(ours, *MAY)
    assert client.get(of_piece(own)).status_code == 200
    for address in (of_piece(other), reverse("admin:ai_assistants_contentpiece_run", args=[other.pk])):
        assert [client.get(address).status_code, client.post(address, sent({"text": "x"})).status_code] == [404, 404]
    form = client.get(of_agent("legal_guard")).content.decode()
    assert ("Ours" in form, "Zpetn3" in form) == (True, False)
    refused = client.post(of_agent("legal_guard"), {**sent({"text": "x"}), "org": theirs.pk})
    assert [error["label"] for error in refused.context["errors"]] == ["Organisation"]
    assert recorded.all() == []
    assert client.post(of_agent("legal_guard"), {**sent({"text": "x"}), "org": ours.pk}).status_code == 200
    assert recorded.one().attribution.org_id == ours.pk


def test_a_member_sees_the_cost_of_their_own_run_and_a_link_that_they_may_follow(
    simulated: dict[str, str], drained: Any
) -> None:
    org = factories.organization()
    client, piece = admin_client.staff(org, *MAY), people.piece(org)
    Membership.objects.update(role=Membership.Role.MEMBER)
    page = client.post(of_piece(piece), sent({"text": "Кофе."}))
    drained()
    call = UsageRecord.objects.get()
    part = client.get(page.context["part_address"]).content.decode()
    address = reverse("usage_billing:call", args=[call.pk])
    assert address in part
    assert client.get(address).status_code == 200


def test_without_the_permission_nothing_opens(simulated: dict[str, str], recorded: Recorded) -> None:
    org = factories.organization()
    piece, client = people.piece(org), admin_client.staff(org, "view_contentpiece")
    addresses = [reverse("admin:ai_assistants_agents"), of_agent("legal_guard"), of_piece(piece)]
    assert [client.get(address).status_code for address in addresses] == [403] * 3
    assert client.post(of_piece(piece), sent({"text": "x"})).status_code == 403
    assert recorded.all() == []
    assert reverse("admin:ai_assistants_agents") not in client.get(reverse("admin:index")).content.decode()


def test_a_forged_post_of_another_site_runs_nothing(simulated: dict[str, str], recorded: Recorded) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(factories.superadmin())
    address = of_piece(people.piece(factories.organization()))
    assert client.post(address, sent({"text": "x"})).status_code == 403
    assert recorded.all() == []


@pytest.mark.parametrize("agent_id", ["no_such", "-"])
def test_there_is_no_such_agent(agent_id: str) -> None:
    assert admin_client.superadmin().get(of_agent(agent_id)).status_code == 404
