"""Content is named on the page of costs to those who may see it."""

from __future__ import annotations

import uuid

import pytest

from ai_clients.assistants.content.titles import titles
from ai_clients.assistants.models import ContentPiece
from tests.support import factories
from usage_billing.tenancy.scope import EVERYTHING, NOTHING, scoped

pytestmark = pytest.mark.django_db


def test_pieces_are_named_to_the_people_of_their_organisation() -> None:
    org, other = factories.organization(), factories.organization()
    ours = ContentPiece.objects.create(org=org, title="Ours", text="…")
    theirs = ContentPiece.objects.create(org=other, title="Theirs", text="…")
    ids = [str(ours.pk), str(theirs.pk), str(uuid.uuid4()), "no uuid at all"]
    with scoped(factories.member(org)) as scope:
        assert titles(scope, ids) == {str(ours.pk): "Ours"}
    assert titles(EVERYTHING, ids) == {str(ours.pk): "Ours", str(theirs.pk): "Theirs"}
    assert titles(NOTHING, ids) == {}
