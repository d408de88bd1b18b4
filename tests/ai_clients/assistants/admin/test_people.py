"""The admin of participants and messages, and the button."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import resolve, reverse
from django.utils import timezone
from pytest_django import Settings

from ai_clients.assistants.models import Message, Participant
from ai_clients.assistants.participants.content_ids import content_id_of
from tests.support import admin_client, factories, people, scope_queries
from tests.support.recorded import Recorded
from tests.support.rows import enter, row
from usage_billing.models import Membership, UsageRecord

pytestmark = pytest.mark.django_db

PARTICIPANTS, MESSAGES = "admin:ai_assistants_participant", "admin:ai_assistants_message"
EMPTY = {"interests": [], "role": "", "activity": "", "tone": ""}


@pytest.fixture(autouse=True)
def in_english(settings: Settings) -> None:
    settings.LANGUAGE_CODE = "en"


def enrich(client: Client, participant: Participant) -> Any:
    return client.post(reverse(f"{PARTICIPANTS}_enrich", args=[participant.pk]))


def said(response: Any) -> list[tuple[str, str]]:
    return [(message.level_tag, str(message)) for message in get_messages(response.wsgi_request)]


def test_every_page_opens() -> None:
    client, org = admin_client.superadmin(), factories.organization()
    author = people.talkative(org)
    addresses = [reverse(f"{name}_{page}") for name in (PARTICIPANTS, MESSAGES) for page in ("changelist", "add")]
    addresses += [
        reverse(f"{PARTICIPANTS}_change", args=[author.pk]),
        reverse(f"{MESSAGES}_change", args=[Message.objects.get().pk]),
        reverse(f"{MESSAGES}_changelist") + f"?participant__id__exact={author.pk}",
    ]
    assert {address: client.get(address).status_code for address in addresses} == dict.fromkeys(addresses, 200)
    sidebar = client.get(addresses[0]).content.decode()
    assert [title in sidebar for title in ("Community participants", "Messages", "Weekly digests", "Content")] == [
        True
    ] * 4


def test_button_is_a_post_of_its_own_and_there_only_where_there_is_something_to_read() -> None:
    client, org = admin_client.superadmin(), factories.organization()
    for author, buttons in ((people.talkative(org), 1), (people.participant(org, "Молчун"), 0)):
        page = client.get(reverse(f"{PARTICIPANTS}_change", args=[author.pk])).content.decode()
        address = reverse(f"{PARTICIPANTS}_enrich", args=[author.pk])
        (form,) = re.findall(rf'<form method="post" action="{address}".*?</form>', page, re.DOTALL)
        assert "csrfmiddlewaretoken" in form
        assert form.count("Run the AI analysis") == buttons
        assert client.get(address).status_code == 405
    assert "Run the AI analysis" not in client.get(reverse(f"{PARTICIPANTS}_add")).content.decode()


def test_button_analyses_and_comes_back_to_the_new_profile(simulated: dict[str, str], recorded: Recorded) -> None:
    author = people.talkative(factories.organization(), "Олег", 2)
    simulated["X-Simulator-Text"] = people.answer(**people.PROFILE)
    client = admin_client.superadmin()
    response = enrich(client, author)
    page = reverse(f"{PARTICIPANTS}_change", args=[author.pk])
    given = recorded.one().attribution
    assert response.status_code == 302
    assert response["Location"] == f"{page}?run={given.workflow_id}&made=1"
    assert [level for level, _ in said(response)] == ["success"]
    assert people.profile(author) == people.PROFILE
    assert "походы, карты" in client.get(page).content.decode()
    assert (given.org_id, given.request_type) == (author.org_id, "participant_enrichment")
    assert given.user_id == int(client.session["_auth_user_id"])


def test_page_says_that_the_call_is_being_recorded_until_the_ledger_has_it(
    simulated: dict[str, str], recorded: Recorded, drained: Any
) -> None:
    org = factories.organization()
    author, client = people.talkative(org), admin_client.superadmin()
    simulated["X-Simulator-Text"] = people.answer(**people.PROFILE)
    page = enrich(client, author)["Location"]
    waiting = client.get(page).content.decode()
    assert "1 call is being recorded." in waiting
    assert "No analysis yet" in waiting
    drained()
    there = client.get(page).content.decode()
    call = UsageRecord.objects.get()
    assert "being recorded" not in there
    assert there.count(reverse("usage_billing:ai-costs-call", args=[call.pk])) == 1
    assert call.ai_model in there
    assert "succeeded" in there
    for forged in ("?run=x&made=1", f"?run={'0' * 32}&made=x", "?made=1"):
        assert "being recorded" not in client.get(page.partition("?")[0] + forged).content.decode()


def test_a_member_s_page_lists_their_own_analyses_with_links_that_they_may_follow(recorded: Recorded) -> None:
    org = factories.organization()
    author, client = people.talkative(org), admin_client.staff(org, "view_participant")
    member = Membership.objects.get(org=org)
    Membership.objects.update(role=Membership.Role.MEMBER)
    own = {"request_type": "participant_enrichment", "content_id": content_id_of(author)}
    now = timezone.now()
    enter(row(org, created_at=now, user_id=member.user_id, **own), row(org, created_at=now, **own))
    mine, others = UsageRecord.objects.get(user_id=member.user_id), UsageRecord.objects.get(user__isnull=True)
    page = client.get(reverse(f"{PARTICIPANTS}_change", args=[author.pk])).content.decode()
    assert reverse("usage_billing:call", args=[mine.pk]) in page
    assert reverse("usage_billing:call", args=[others.pk]) not in page
    assert client.get(reverse("usage_billing:call", args=[mine.pk])).status_code == 200


def test_a_forged_post_of_another_site_starts_nothing(simulated: dict[str, str], recorded: Recorded) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(factories.superadmin())
    assert enrich(client, people.talkative(factories.organization())).status_code == 403
    assert recorded.all() == []


@pytest.mark.parametrize(
    ("header", "value", "words"),
    [
        ("X-Simulator-Statuses", "401", "The provider refuses our requests."),
        ("X-Simulator-Answer", "refused", "The model refused this task."),
        ("X-Simulator-Answer", "cut-off", "The answer was cut off"),
        ("X-Simulator-Text", "no%20JSON", "The model's answer is not in the form that was asked for."),
    ],
)
def test_failures_are_said_on_the_page(
    simulated: dict[str, str], recorded: Recorded, header: str, value: str, words: str
) -> None:
    author = people.talkative(factories.organization())
    simulated[header] = value
    response = enrich(admin_client.superadmin(), author)
    ((level, text),) = said(response)
    assert (response.status_code, level, text.startswith(words)) == (302, "error", True)
    assert people.profile(author) == EMPTY
    assert len(recorded.all()) == 1


def test_nothing_to_read_is_said_and_costs_nothing(simulated: dict[str, str], recorded: Recorded) -> None:
    response = enrich(admin_client.superadmin(), people.participant(factories.organization()))
    assert said(response) == [("warning", "This participant has no messages: there is nothing to analyse.")]
    assert recorded.all() == []


def test_staff_of_an_organisation_see_and_analyse_its_participants_alone(
    simulated: dict[str, str], recorded: Recorded
) -> None:
    org, other = factories.organization(), factories.organization()
    own, foreign = people.talkative(org, "Свой"), people.talkative(other, "Чужой")
    client = admin_client.staff(org, "view_participant", "change_participant", "view_message", "add_message")
    for name in (PARTICIPANTS, MESSAGES):
        listed = client.get(reverse(f"{name}_changelist")).content.decode()
        assert ("Свой" in listed, "Чужой" in listed) == (True, False)
    assert client.get(reverse(f"{PARTICIPANTS}_change", args=[foreign.pk])).status_code == 302
    assert enrich(client, foreign).status_code == 404
    assert recorded.all() == []
    assert enrich(client, own).status_code == 302
    assert recorded.one().attribution.org_id == org.pk


def test_staff_cannot_file_a_message_under_another_organisation() -> None:
    org, other = factories.organization(), factories.organization()
    own, foreign = people.participant(org), people.participant(other)
    form = {"chat_id": "c", "external_id": "1", "text": "x", "sent_at_0": "2026-11-01", "sent_at_1": "10:00"}
    client = admin_client.staff(org, "add_message", "view_message")
    add = reverse(f"{MESSAGES}_add")
    refused = [
        client.post(add, {**form, "org": other.pk, "participant": foreign.pk}),
        client.post(add, {**form, "org": org.pk, "participant": foreign.pk}),
        admin_client.superadmin().post(add, {**form, "org": org.pk, "participant": foreign.pk}),
    ]
    assert [response.status_code for response in refused] == [200, 200, 200]
    assert not Message.objects.exists()
    assert client.post(add, {**form, "org": org.pk, "participant": own.pk}).status_code == 302
    assert Message.objects.get().participant == own


@pytest.mark.parametrize("permissions", [(), ("view_participant",)])
def test_looking_is_not_enough_to_spend(
    simulated: dict[str, str], recorded: Recorded, permissions: tuple[str, ...]
) -> None:
    org = factories.organization()
    author = people.talkative(org)
    client = admin_client.staff(org, *permissions)
    assert enrich(client, author).status_code == 403
    if permissions:
        page = client.get(reverse(f"{PARTICIPANTS}_change", args=[author.pk])).content.decode()
        assert "Run the AI analysis" not in page
    assert recorded.all() == []


def test_participants_of_a_closed_organisation_are_not_analysed(simulated: dict[str, str], recorded: Recorded) -> None:
    org = factories.organization()
    author = people.talkative(org)
    org.closed_at = timezone.now()
    org.save()
    assert enrich(admin_client.superadmin(), author).status_code == 404
    assert recorded.all() == []


def test_the_views_that_call_a_provider_take_their_scope_themselves() -> None:
    addresses = [
        reverse(f"{PARTICIPANTS}_enrich", args=[1]),
        reverse("admin:ai_assistants_custom_analysis"),
        reverse("admin:ai_assistants_digest_summary", args=[1]),
        "/api/participants/1/enrich-ai",
        "/api/custom-analysis",
        "/api/cron/update-participant-roles",
        "/api/cron/send-weekly-digests",
    ]
    views = {address: resolve(address).func for address in addresses}
    within = [address for address, view in views.items() if not getattr(getattr(view, "cls", view), "outside_scope", 0)]
    assert within == []


def test_lists_need_the_same_queries_for_any_number_of_rows(django_assert_max_num_queries: Any) -> None:
    client, org = admin_client.superadmin(), factories.organization()
    for number in range(12):
        people.talkative(org, f"Автор {number}", 2)
    for name in (PARTICIPANTS, MESSAGES):
        with django_assert_max_num_queries(12 + scope_queries.of_a_superadmin()):
            assert client.get(reverse(f"{name}_changelist")).status_code == 200
