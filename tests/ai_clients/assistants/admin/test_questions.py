"""The admin's page of a question."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests.support import admin_client, factories, people
from tests.support.recorded import Recorded
from usage_billing.models import UsageRecord

pytestmark = pytest.mark.django_db

ASK = "admin:ai_assistants_custom_analysis"


@pytest.fixture(autouse=True)
def in_english(settings: Settings) -> None:
    settings.LANGUAGE_CODE = "en"


def choose(client: Client, model: str, *rows: Any) -> Any:
    """The list's action on these rows."""
    chosen = {"action": "ask_about", "_selected_action": [row.pk for row in rows]}
    return client.post(reverse(f"admin:ai_assistants_{model}_changelist"), chosen, follow=True)


def test_question_is_asked_about_the_messages_chosen(simulated: dict[str, str], recorded: Recorded) -> None:
    client, author = admin_client.superadmin(), people.participant(factories.organization(), "Анна")
    first, second = people.message(author, "Палки нужны."), people.message(author, "Палки мешают.")
    page = choose(client, "message", first, second)
    assert (page.status_code, page.templates[0].name) == (200, "ai_assistants/question.html")
    assert recorded.all() == []  # nothing is spent before the question is asked

    simulated["X-Simulator-Text"] = people.answer(answer="О <палках>.\nДвое.", is_answered=True, evidence=[2])
    asked = client.post(reverse(ASK), {"question": "О чём спорят?", "message_ids": [first.pk, second.pk]})
    html = asked.content.decode()
    assert "<p>О &lt;палках&gt;.<br>Двое.</p>" in html
    assert (asked.context["evidence"], html.count('class="ai-evidence"')) == ({str(second.pk)}, 1)
    given = recorded.one().attribution
    assert (given.org_id, given.user_id) == (author.org_id, int(client.session["_auth_user_id"]))


def test_answer_says_what_it_cost_and_leads_to_its_call(simulated: dict[str, str], drained: Any) -> None:
    org = factories.organization()
    factories.rate(factories.today(org), "80")
    message, client = people.message(people.participant(org)), admin_client.superadmin()
    page = client.post(reverse(ASK), {"question": "О чём?", "message_ids": [message.pk]})
    measured = page.context["measured"]
    html = page.content.decode()
    assert (measured.spent.requests_count, measured.spent.cost_usd > 0) == (1, True)
    assert "1 call is being recorded." in html
    drained()
    call = UsageRecord.objects.get()
    assert (call.workflow_id, call.cost_usd) == (measured.workflow_id, measured.spent.cost_usd)
    part = client.get(page.context["part_address"]).content.decode()
    assert reverse("usage_billing:ai-costs-call", args=[call.pk]) in part


def test_question_is_asked_about_the_content_chosen(simulated: dict[str, str], recorded: Recorded) -> None:
    client, piece = admin_client.superadmin(), people.piece(factories.organization())
    assert choose(client, "contentpiece", piece).templates[0].name == "ai_assistants/question.html"
    assert client.post(reverse(ASK), {"question": "О чём?", "content_ids": [str(piece.pk)]}).status_code == 200
    assert recorded.one().attribution.content_id == str(piece.pk)


def test_texts_of_several_organisations_cannot_be_asked_about(simulated: dict[str, str], recorded: Recorded) -> None:
    client = admin_client.superadmin()
    rows = [people.message(people.participant(factories.organization())) for _ in range(2)]
    assert "These texts belong to several organisations" in choose(client, "message", *rows).content.decode()
    asked = client.post(reverse(ASK), {"question": "?", "message_ids": [row.pk for row in rows]}, follow=True)
    assert "These texts belong to several organisations" in asked.content.decode()
    assert recorded.all() == []


def test_an_empty_question_is_asked_for_again(simulated: dict[str, str], recorded: Recorded) -> None:
    message = people.message(people.participant(factories.organization()))
    page = admin_client.superadmin().post(reverse(ASK), {"question": " ", "message_ids": [message.pk]})
    assert page.context["form"].errors == {"question": ["This field is required."]}
    assert '<a href="#id_question">Question</a>: This field is required.' in page.content.decode()
    assert recorded.all() == []


def test_failure_keeps_the_question_and_says_why(simulated: dict[str, str], recorded: Recorded) -> None:
    message = people.message(people.participant(factories.organization()))
    simulated["X-Simulator-Answer"] = "refused"
    page = admin_client.superadmin().post(reverse(ASK), {"question": "О чём?", "message_ids": [message.pk]})
    html = page.content.decode()
    assert "The model refused this task." in html
    assert "О чём?" in html
    assert page.context["analysis"] is None
    assert page.context["measured"].spent.requests_count == 1
    assert len(recorded.all()) == 1


def test_staff_ask_about_their_own_organisations_texts_alone(simulated: dict[str, str], recorded: Recorded) -> None:
    org, other = factories.organization(), factories.organization()
    own, foreign = people.message(people.participant(org)), people.message(people.participant(other))
    client = admin_client.staff(org, "view_message", "change_message")
    asked = client.post(reverse(ASK), {"question": "?", "message_ids": [foreign.pk]}, follow=True)
    assert "There is no such text" in asked.content.decode()
    # A person sees nothing of a model that they may not change.
    assert client.post(reverse(ASK), {"question": "?", "content_ids": [str(people.piece(org).pk)]}).status_code == 403
    assert recorded.all() == []
    assert client.post(reverse(ASK), {"question": "?", "message_ids": [own.pk]}).status_code == 200
    assert recorded.one().attribution.org_id == org.pk


@pytest.mark.parametrize("ids", [{"message_ids": ["x"]}, {"content_ids": ["1"]}])
def test_nonsense_for_an_id_is_404(ids: dict[str, Any]) -> None:
    assert admin_client.superadmin().post(reverse(ASK), {"question": "?", **ids}).status_code == 404
