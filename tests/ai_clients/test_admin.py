"""Content pieces in the admin: entered, found, shown with the id that their calls carry."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from ai_clients.models import ContentPiece
from tests import factories

pytestmark = pytest.mark.django_db

LIST = "admin:ai_clients_contentpiece_changelist"


@pytest.fixture
def superadmin(client: Client, settings: Any) -> Client:
    settings.LANGUAGE_CODE = "en"
    client.force_login(factories.superadmin())
    return client


def test_piece_is_entered_found_and_shown_with_its_id(superadmin: Client) -> None:
    org = factories.organization("Acme")
    given = {"org": org.pk, "title": "Coffee", "text": "Good.", "platform": "vk", "content_type": "post"}
    assert superadmin.post(reverse("admin:ai_clients_contentpiece_add"), given | {"status": "draft"}).status_code == 302
    piece = ContentPiece.objects.get()
    assert (piece.org, piece.title, piece.status) == (org, "Coffee", "draft")
    listed = superadmin.get(reverse(LIST), {"q": "coff"})
    assert list(listed.context["cl"].result_list) == [piece]
    assert list(superadmin.get(reverse(LIST), {"q": "tea"}).context["cl"].result_list) == []
    page = superadmin.get(reverse("admin:ai_clients_contentpiece_change", args=[piece.pk]))
    assert str(piece.pk) in page.content.decode()


def test_piece_stays_with_its_organisation(superadmin: Client) -> None:
    piece = ContentPiece.objects.create(org=factories.organization(), title="Coffee")
    given = {"org": factories.organization().pk, "title": "Tea", "text": "", "status": "ready"}
    url = reverse("admin:ai_clients_contentpiece_change", args=[piece.pk])
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


def test_sidebar_leads_to_the_content(superadmin: Client) -> None:
    assert reverse(LIST) in superadmin.get(reverse("admin:index")).content.decode()


def test_nobody_else_gets_there(client: Client) -> None:
    client.force_login(factories.owner(factories.organization()))
    assert client.get(reverse(LIST)).status_code == 302
