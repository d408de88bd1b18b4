"""The demo has people to analyse."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from ai_clients.assistants.models import Message, Participant
from ai_clients.assistants.participants import demo_people
from ai_clients.assistants.participants.role_updates import due_participants
from usage_billing.management import demo_data
from usage_billing.models import Organization

pytestmark = pytest.mark.django_db


def test_demo_organisations_get_people_who_talk() -> None:
    demo_data.create_people()
    now = timezone.now()
    said = demo_people.create(now)
    number = Message.objects.count()
    assert said == f"Added {number} messages of participants to analyse."
    assert number >= 40
    for slug in demo_people.CHATS:
        messages = Message.objects.filter(org__slug=slug)
        assert messages.filter(answers__isnull=False).count() >= 5
        assert {message.participant.org_id for message in messages} == {message.org_id for message in messages}
        assert all(message.answers is None or message.answers.sent_at < message.sent_at for message in messages)
        assert all(timedelta() < message.received_at - message.sent_at < timedelta(minutes=1) for message in messages)
    assert Message.objects.filter(sent_at__gt=now).count() == 0
    assert len(due_participants(now)) == Participant.objects.count() >= 12

    assert demo_people.create(now) == ""
    assert Message.objects.count() == number


def test_organisations_of_others_get_nobody() -> None:
    Organization.objects.create(name="Real", slug="real")
    assert demo_people.create(timezone.now()) == ""
    assert not Participant.objects.exists()
