"""Content pieces in the admin: entered, found, shown with the id that their calls carry."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from ai_clients.assistants.models import ContentPiece
from tests.support import admin_client, factories
from tests.support.rows import enter, row
from usage_billing.models import Membership

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


def test_staff_see_their_own_organisations_only(client: Client) -> None:
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


def test_sidebar_leads_to_the_content_and_the_agents(superadmin: Client) -> None:
    sidebar = superadmin.get(reverse("admin:index")).content.decode()
    assert reverse(LIST) in sidebar
    assert reverse("admin:ai_assistants_agents") in sidebar


def test_page_of_a_piece_says_what_its_agents_cost_and_leads_to_the_calls(superadmin: Client) -> None:
    org = factories.organization()
    piece, other = (ContentPiece.objects.create(org=org, title=title) for title in ("Coffee", "Tea"))
    enter(
        row(org, content_id=str(piece.pk), agent_id="legal_guard", cost_usd=Decimal("0.25")),
        row(org, content_id=str(piece.pk), agent_id="repurpose", cost_usd=Decimal("0.0025")),
        row(org, content_id=str(piece.pk), agent_id="", cost_usd=None, cost_rub=None),
        row(org, content_id=str(other.pk), cost_usd=Decimal("7.77")),
    )
    page = superadmin.get(reverse("admin:ai_assistants_contentpiece_change", args=[piece.pk])).content.decode()
    for text in ("Legal guard", "$0.2500", "Repurpose", "$0.0025", "no agent", "1 unpriced call", "$0.2525"):
        assert text in page
    assert "7.77" not in page
    assert f"content_id={piece.pk}&amp;agent_id=legal_guard&amp;from=2026-05-20" in page
    assert f"content_id={piece.pk}&amp;from=2026-05-20" in page


def test_page_of_a_piece_without_calls_says_so(superadmin: Client) -> None:
    piece = ContentPiece.objects.create(org=factories.organization(), title="Coffee")
    page = superadmin.get(reverse("admin:ai_assistants_contentpiece_change", args=[piece.pk])).content.decode()
    assert "No AI call has worked on this text yet." in page


def test_a_member_sees_what_their_own_calls_on_a_piece_cost(settings: Any) -> None:
    settings.LANGUAGE_CODE = "en"
    org = factories.organization()
    client = admin_client.staff(org, "view_contentpiece")
    member = Membership.objects.get(org=org)
    Membership.objects.update(role=Membership.Role.MEMBER)
    piece = ContentPiece.objects.create(org=org, title="Coffee")
    enter(
        row(org, content_id=str(piece.pk), user_id=member.user_id, cost_usd=Decimal("0.25")),
        row(org, content_id=str(piece.pk), cost_usd=Decimal("7.77")),
    )
    page = client.get(reverse("admin:ai_assistants_contentpiece_change", args=[piece.pk])).content.decode()
    assert ("$0.25" in page, "7.77" in page, "8.02" in page) == (True, False, False)


def test_nobody_else_gets_there(client: Client) -> None:
    client.force_login(factories.owner(factories.organization()))
    assert client.get(reverse(LIST)).status_code == 302
