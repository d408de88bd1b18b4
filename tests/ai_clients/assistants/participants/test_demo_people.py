"""The demo has people to analyse."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from ai_clients.assistants.models import Message, Participant
from ai_clients.assistants.participants import demo_people
from ai_clients.assistants.participants.role_updates import due_participants
from usage_billing.management import demo_data
from usage_billing.models import Organization

pytestmark = pytest.mark.django_db


def test_every_demo_organisation_gets_people_who_talk(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.DEBUG = True
    monkeypatch.setattr(demo_data, "DAYS", 1)
    out = StringIO()
    call_command("seed_demo", stdout=out)
    number = Message.objects.count()
    assert f"Added {number} messages of participants to analyse." in out.getvalue()
    assert number >= 40
    for organization in demo_data.ORGANIZATIONS:
        messages = Message.objects.filter(org__slug=organization.slug)
        assert messages.filter(answers__isnull=False).count() >= 5
        assert {message.participant.org_id for message in messages} == {message.org_id for message in messages}
        assert all(message.answers is None or message.answers.sent_at < message.sent_at for message in messages)
    assert Message.objects.filter(sent_at__gt=timezone.now()).count() == 0
    assert len(due_participants(timezone.now())) == Participant.objects.count() >= 12

    assert demo_people.create(timezone.now()) == ""
    assert Message.objects.count() == number


def test_organisations_of_others_get_nobody() -> None:
    Organization.objects.create(name="Real", slug="real")
    assert demo_people.create(timezone.now()) == ""
    assert not Participant.objects.exists()
