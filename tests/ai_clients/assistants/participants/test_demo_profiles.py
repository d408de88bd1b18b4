"""The demo's analyses of participants: profiles, and their calls in the ledger."""

from __future__ import annotations

import pytest
from django.utils import timezone

from ai_clients.assistants.models import Message, Participant
from ai_clients.assistants.participants import demo_people, demo_profiles
from ai_clients.assistants.participants.content_ids import content_id_of
from ai_clients.assistants.participants.profiles import MOST_INTERESTS, REQUEST_TYPE
from ai_clients.assistants.participants.role_updates import due_participants
from usage_billing.management import demo_data
from usage_billing.models import UsageRecord

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def people() -> None:
    demo_data.create_people()
    demo_data.create_rates(timezone.localdate())
    demo_people.create(timezone.now())


def test_each_analysis_has_its_call() -> None:
    said = demo_profiles.create(timezone.now())
    analysed = Participant.objects.exclude(analysed_at=None)
    assert said == f"Added {analysed.count()} analyses of participants."
    assert analysed.count() >= 8
    assert Participant.objects.filter(analysed_at=None).exists()
    assert len({(each.role, each.tone) for each in analysed}) >= 5
    for participant in analysed:
        call = UsageRecord.objects.get(request_metadata__participant_id=participant.pk)
        assert (call.org_id, call.request_type) == (participant.org_id, REQUEST_TYPE)
        assert call.content_id == content_id_of(participant)
        assert call.cost_usd
        assert call.request_metadata["participant_name"] == participant.name
        read = Message.objects.filter(participant=participant, sent_at__lt=participant.analysed_at)
        assert call.request_metadata["message_count"] == read.count() > 0
        assert participant.analysed_at is not None
        assert call.created_at < participant.analysed_at < timezone.now()
        assert 0 < len(participant.interests) <= MOST_INTERESTS


def test_whoever_has_written_since_is_due() -> None:
    now = timezone.now()
    demo_profiles.create(now)
    due = {key.participant_id for key in due_participants(now)}
    unread = {message.participant_id for message in Message.objects.all() if _is_unread(message)}
    assert due == unread
    assert 0 < len(due) < Participant.objects.count()


def _is_unread(message: Message) -> bool:
    analysed_at = message.participant.analysed_at
    return analysed_at is None or message.received_at > analysed_at


def test_it_happens_once_and_leaves_the_work_of_people_alone() -> None:
    ours = Participant.objects.filter(org__slug="romashka-media").first()
    assert ours is not None
    profile = {"role": "helper", "activity": "low", "tone": "neutral", "analysed_at": timezone.now()}
    Participant.objects.filter(pk=ours.pk).update(**profile)
    demo_profiles.create(timezone.now())
    romashka = Participant.objects.filter(org=ours.org_id).exclude(analysed_at=None)
    assert [(each.pk, each.role) for each in romashka] == [(ours.pk, "helper")]
    calls = UsageRecord.objects.count()
    assert demo_profiles.create(timezone.now()) == ""
    assert UsageRecord.objects.count() == calls
