"""Content pieces in the admin: entered, found, shown with the id that their calls carry."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from ai_clients.assistants.models import ContentPiece
from tests.support import factories
from tests.support.recorded import Recorded

pytestmark = pytest.mark.django_db

LIST = "admin:ai_assistants_contentpiece_changelist"


@pytest.fixture
def superadmin(client: Client, settings: Any) -> Client:
    settings.LANGUAGE_CODE = "en"
    client.force_login(factories.superadmin())
    return client


def test_piece_is_entered_found_and_shown_with_its_id(superadmin: Client) -> None:
    org = factories.organization("Acme")
    given = {"org": org.pk, "title": "Coffee", "text": "Good.", "platform": "vk", "content_type": "post"}
    assert (
        superadmin.post(reverse("admin:ai_assistants_contentpiece_add"), given | {"status": "draft"}).status_code == 302
    )
    piece = ContentPiece.objects.get()
    assert (piece.org, piece.title, piece.status) == (org, "Coffee", "draft")
    listed = superadmin.get(reverse(LIST), {"q": "coff"})
    assert list(listed.context["cl"].result_list) == [piece]
    assert list(superadmin.get(reverse(LIST), {"q": "tea"}).context["cl"].result_list) == []
    page = superadmin.get(reverse("admin:ai_assistants_contentpiece_change", args=[piece.pk]))
    assert str(piece.pk) in page.content.decode()


def test_piece_stays_with_its_organisation(superadmin: Client) -> None:
    piece = ContentPiece.objects.create(org=factories.organization(), title="Coffee")
    given = {"org": factories.organization().pk, "title": "Tea", "text": "", "status": "ready"}
    url = reverse("admin:ai_assistants_contentpiece_change", args=[piece.pk])
    assert superadmin.post(url, given).status_code == 302
    changed = ContentPiece.objects.get()
    assert (changed.org_id, changed.title, changed.status) == (piece.org_id, "Tea", "ready")


def test_list_costs_as_many_queries_as_it_did_with_fewer(superadmin: Client) -> None:
    def queries(pieces: int) -> int:
        for _ in range(pieces):
            ContentPiece.objects.create(org=factories.organization(), title="Coffee")
        with CaptureQueriesContext(connection) as captured:
            assert superadmin.get(reverse(LIST)).status_code == 200
        return len(captured)

    queries(1)  # what is cached then is cached for both
    assert queries(1) == queries(20)


def run_url(piece: ContentPiece) -> str:
    return reverse("admin:ai_assistants_contentpiece_run", args=[piece.pk])


def test_agent_runs_on_a_piece_and_the_page_says_what_it_cost(
    superadmin: Client, simulated: dict[str, str], recorded: Recorded
) -> None:
    org = factories.organization()
    factories.rate(factories.today(org), "80.5")
    piece = ContentPiece.objects.create(org=org, title="Coffee", text="Coffee is good.", platform="vk")
    change = superadmin.get(reverse("admin:ai_assistants_contentpiece_change", args=[piece.pk])).content.decode()
    assert run_url(piece) in change
    assert "legal_guard" in superadmin.get(run_url(piece)).content.decode()
    page = superadmin.post(run_url(piece), {"agent": "legal_guard", "input": "{}"}).content.decode()
    assert "The text informs and does not promote anything" in page
    given = recorded.one().attribution
    assert (given.org_id, given.content_id, given.agent_id, given.platform) == (
        org.pk, str(piece.pk), "legal_guard", "vk",
    )  # fmt: skip
    assert given.user_id is not None
    assert "$0.00" in page
    assert "1 call, " in page


def test_picture_is_shown(superadmin: Client, simulated: dict[str, str]) -> None:
    piece = ContentPiece.objects.create(org=factories.organization(), title="Coffee", text="Coffee is good.")
    page = superadmin.post(run_url(piece), {"agent": "multimedia_producer", "input": ""}).content.decode()
    assert "data:image/png;base64,iVBOR" in page


@pytest.mark.parametrize(
    ("agent", "given", "said"),
    [
        ("repurpose", "{}", "platform: This field is required."),
        ("repurpose", "[1]", "Give an object."),
        ("repurpose", "{", "Enter a valid JSON."),
        ("trends_scout", "{}", "Select a valid choice."),
    ],
)
def test_wrong_input_is_said_in_the_form(
    superadmin: Client, simulated: dict[str, str], recorded: Recorded, agent: str, given: str, said: str
) -> None:
    piece = ContentPiece.objects.create(org=factories.organization(), title="Coffee", text="Coffee is good.")
    page = superadmin.post(run_url(piece), {"agent": agent, "input": given}).content.decode()
    assert said in page
    assert recorded.all() == []


@pytest.mark.parametrize(
    ("header", "value", "said"),
    [
        ("X-Simulator-Answer", "refused", "The model refused this task."),
        ("X-Simulator-Statuses", "429", "The provider takes no more requests for now."),
    ],
)
def test_failure_is_said_in_a_message(
    superadmin: Client, simulated: dict[str, str], header: str, value: str, said: str
) -> None:
    simulated[header] = value
    piece = ContentPiece.objects.create(org=factories.organization(), title="Coffee", text="Coffee is good.")
    page = superadmin.post(run_url(piece), {"agent": "legal_guard", "input": "{}"}).content.decode()
    assert said in page
    assert "Cost of this run:" in page


def test_staff_see_and_run_their_own_organisations_only(
    client: Client, simulated: dict[str, str], recorded: Recorded
) -> None:
    ours, theirs = factories.organization(), factories.organization()
    person = factories.member(ours)
    person.is_staff = True
    person.save()
    person.user_permissions.set(Permission.objects.filter(content_type__app_label="ai_assistants"))
    own = ContentPiece.objects.create(org=ours, title="Ours", text="x")
    other = ContentPiece.objects.create(org=theirs, title="Zpetn3", text="x")
    client.force_login(person)
    page = client.get(reverse(LIST))
    assert list(page.context["cl"].result_list) == [own]
    assert client.get(reverse("admin:ai_assistants_contentpiece_change", args=[other.pk])).status_code == 302
    given = {"org": theirs.pk, "title": "Forged", "text": "x", "status": "draft"}
    assert client.post(reverse("admin:ai_assistants_contentpiece_add"), given).status_code == 200  # the form, again
    assert not ContentPiece.objects.filter(title="Forged").exists()
    assert client.post(run_url(other), {"agent": "legal_guard", "input": "{}"}).status_code == 404
    assert recorded.all() == []
    assert client.post(run_url(own), {"agent": "legal_guard", "input": "{}"}).status_code == 200
    assert recorded.one().attribution.org_id == ours.pk
    person.user_permissions.clear()
    assert client.post(run_url(own), {"agent": "legal_guard", "input": "{}"}).status_code == 403


def test_sidebar_leads_to_the_content(superadmin: Client) -> None:
    assert reverse(LIST) in superadmin.get(reverse("admin:index")).content.decode()


def test_nobody_else_gets_there(client: Client) -> None:
    client.force_login(factories.owner(factories.organization()))
    assert client.get(reverse(LIST)).status_code == 302
