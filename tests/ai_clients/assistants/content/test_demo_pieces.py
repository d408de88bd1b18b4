"""The demo's pieces of content have the ids that its calls name."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from ai_clients.assistants.content import demo_pieces
from ai_clients.assistants.content.titles import titles
from ai_clients.assistants.models import ContentPiece
from usage_billing.management import demo_data
from usage_billing.management.demo_data_calls import calls_of
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db


def test_every_content_id_of_a_call_has_a_title() -> None:
    demo_data.create_people()
    now = timezone.now()
    said = demo_pieces.create(now)
    assert said == f"Added {ContentPiece.objects.count()} pieces of content."
    today = timezone.localdate(now)
    ids = {
        event.attribution.content_id
        for account in demo_data.accounts()
        for number in range(0, demo_data.DAYS, 7)
        for event in calls_of(account, today - timedelta(days=number), now)
        if event.attribution.content_id
    }
    assert len(ids) > 20
    assert titles(EVERYTHING, ids).keys() == ids
    assert {*ContentPiece.objects.values_list("status", flat=True)} == {"ready", "published", "archived"}
    assert all(piece.created_at <= piece.updated_at <= now for piece in ContentPiece.objects.all())

    assert demo_pieces.create(now) == ""
