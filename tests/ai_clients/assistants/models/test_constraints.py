"""The rules that the database itself enforces."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from ai_clients.assistants.models import DigestDelivery, Message, Participant
from tests.support import factories, people

pytestmark = pytest.mark.django_db


def refused(create: Any) -> bool:
    try:
        with transaction.atomic():
            create()
    except IntegrityError:
        return True
    return False


def test_ids_of_the_chats_are_unique_within_an_organisation_alone() -> None:
    org, other = factories.organization(), factories.organization()
    author = Participant.objects.create(org=org, name="a", external_id="1")
    message = people.message(author)
    same = {"participant": author, "chat_id": message.chat_id, "external_id": message.external_id}
    assert refused(lambda: Participant.objects.create(org=org, name="b", external_id="1"))
    assert not refused(lambda: Participant.objects.create(org=other, name="b", external_id="1"))
    assert refused(lambda: Message.objects.create(org=org, text="", sent_at=timezone.now(), **same))
    assert not refused(lambda: Message.objects.create(org=other, text="", sent_at=timezone.now(), **same))


def test_a_week_of_an_organisation_has_one_digest() -> None:
    org, other = factories.organization(), factories.organization()
    for owner, is_refused in ((org, False), (org, True), (other, False)):
        assert refused(lambda owner=owner: DigestDelivery.objects.create(org=owner, week="2026-11-09")) is is_refused


@pytest.mark.parametrize(
    "fields",
    [
        {**people.PROFILE},  # a profile without the moment of it
        {**people.PROFILE, "analysed_at": timezone.now(), "role": "superadmin"},
        {**people.PROFILE, "analysed_at": timezone.now(), "tone": ""},
        {"analysed_at": timezone.now()},
    ],
)
def test_a_profile_is_whole_and_in_our_words(fields: dict[str, Any]) -> None:
    org = factories.organization()
    assert refused(lambda: people.participant(org, **fields))
    assert not refused(lambda: people.participant(org, **people.PROFILE, analysed_at=timezone.now()))


def test_words_of_the_constraint_are_those_of_the_choices() -> None:
    org = factories.organization()
    for name, choices in (("role", Participant.Role), ("activity", Participant.Activity), ("tone", Participant.Tone)):
        for word in choices.values:
            people.participant(org, **{**people.PROFILE, name: word}, analysed_at=timezone.now())
    assert Participant.objects.count() == 15


def test_a_message_belongs_where_its_author_and_what_it_answers_do() -> None:
    org, other = factories.organization(), factories.organization()
    author, stranger = people.participant(org), people.participant(other)
    own, foreign = people.message(author), people.message(stranger)
    fields = {"chat_id": "c", "external_id": "9", "text": "x", "sent_at": timezone.now()}
    Message(org=org, participant=author, answers=own, **fields).full_clean()
    with pytest.raises(ValidationError) as raised:
        Message(org=org, participant=stranger, answers=foreign, **fields).full_clean()
    assert set(raised.value.message_dict) == {"participant", "answers"}


def test_every_tenant_row_of_ours_names_its_organisation_and_every_unique_key_contains_it() -> None:
    """Row-level security, and sharding by organisation, are derived from that."""
    for model in (Participant, Message, DigestDelivery):
        org = model._meta.get_field("org")
        assert (isinstance(org, models.ForeignKey), org.null) == (True, False)
        assert org.related_model is apps.get_model("usage_billing", "Organization")
        unique = [one.fields for one in model._meta.constraints if isinstance(one, models.UniqueConstraint)]
        assert len(unique) == 1
        assert all("org" in fields for fields in unique)
        assert [field.name for field in model._meta.local_fields if field.unique] == ["id"]
