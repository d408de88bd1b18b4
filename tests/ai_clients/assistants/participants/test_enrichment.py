"""A participant's profile from the messages to the row."""

from __future__ import annotations

from datetime import timedelta

import openai
import pytest
from django.db import connection
from django.utils import timezone

from ai_clients.assistants.calls.structured import RefusedError, TruncatedAnswerError
from ai_clients.assistants.models import Message, Participant
from ai_clients.assistants.participants import enrichment, profiles
from ai_clients.assistants.participants.enrichment import (
    AGAIN_AFTER,
    CLAIM_FOR,
    EnrichmentInProgressError,
    EnrichmentOptions,
    NoMessagesError,
    NotDueError,
    due,
    enrich_participant,
)
from ai_clients.assistants.participants.profiles import Profile
from tests.support import factories, people
from tests.support.recorded import Recorded

pytestmark = pytest.mark.django_db

EMPTY = {"interests": [], "role": "", "activity": "", "tone": ""}


def test_profile_is_saved_with_the_moment_of_the_reading(simulated: dict[str, str], recorded: Recorded) -> None:
    author = people.talkative(factories.organization())
    simulated["X-Simulator-Text"] = people.answer(**people.PROFILE)
    before = timezone.now()
    enriched = enrich_participant(author.pk, author.org_id, user_id=5)
    assert people.profile(author) == people.PROFILE
    assert enriched == author
    assert author.analysed_at is not None
    assert before <= author.analysed_at <= timezone.now()
    assert author.claimed_at is None
    assert recorded.one().attribution.user_id == 5


def test_without_messages_there_is_no_call(simulated: dict[str, str], recorded: Recorded) -> None:
    author = people.participant(factories.organization())
    with pytest.raises(NoMessagesError):
        enrich_participant(author.pk, author.org_id)
    assert recorded.all() == []


def test_participant_of_another_organisation_is_unknown(simulated: dict[str, str], recorded: Recorded) -> None:
    author, other = people.talkative(factories.organization()), factories.organization()
    with pytest.raises(Participant.DoesNotExist):
        enrich_participant(author.pk, other.pk)
    assert recorded.all() == []
    assert people.profile(author) == EMPTY


def test_only_the_newest_messages_of_this_participant_and_organisation_are_read() -> None:
    org, other = factories.organization(), factories.organization()
    author, someone = people.talkative(org, "Олег", 5), people.talkative(org, "Анна", 5)
    people.message(author, "чужое", org=other)
    found = enrichment.newest_messages(author, 3)
    assert [message.text for message in found] == [f"Олег пишет в {number}-й раз" for number in (4, 3, 2)]
    assert {message.participant_id for message in found} == {author.pk} != {someone.pk}


@pytest.mark.parametrize(
    ("header", "value", "error"),
    [
        ("X-Simulator-Answer", "refused", RefusedError),
        ("X-Simulator-Answer", "cut-off", TruncatedAnswerError),
        ("X-Simulator-Statuses", "401", openai.AuthenticationError),
    ],
)
def test_a_failed_call_leaves_the_old_profile_and_is_recorded(
    simulated: dict[str, str], recorded: Recorded, header: str, value: str, error: type[Exception]
) -> None:
    then = timezone.now() - timedelta(days=3)
    author = people.talkative(factories.organization())
    Participant.objects.filter(pk=author.pk).update(**people.PROFILE, analysed_at=then)
    simulated[header] = value
    with pytest.raises(error):
        enrich_participant(author.pk, author.org_id)
    assert people.profile(author) == people.PROFILE
    assert (author.analysed_at, author.claimed_at) == (then, None)
    assert recorded.one().attribution.org_id == author.org_id


def test_two_at_once_pay_once(simulated: dict[str, str], recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    author = people.talkative(factories.organization())
    call = profiles.analyze_participant

    def meanwhile(*args: object, **options: object) -> Profile:
        with pytest.raises(EnrichmentInProgressError):
            enrich_participant(author.pk, author.org_id)
        return call(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(enrichment, "analyze_participant", meanwhile)
    enrich_participant(author.pk, author.org_id)
    assert len(recorded.all()) == 1


def test_the_claim_of_a_process_that_died_runs_out(simulated: dict[str, str]) -> None:
    author = people.talkative(factories.organization())
    own = Participant.objects.filter(pk=author.pk)
    own.update(claimed_at=timezone.now() - CLAIM_FOR + timedelta(minutes=1))
    with pytest.raises(EnrichmentInProgressError):
        enrich_participant(author.pk, author.org_id)
    own.update(claimed_at=timezone.now() - CLAIM_FOR - timedelta(minutes=1))
    assert enrich_participant(author.pk, author.org_id).claimed_at is None


def test_no_transaction_is_open_while_the_provider_works(
    transactional_db: None, simulated: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    author = people.talkative(factories.organization())
    call, seen = profiles.analyze_participant, []

    def look(*args: object, **options: object) -> Profile:
        seen.append(connection.in_atomic_block)
        return call(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(enrichment, "analyze_participant", look)
    enrich_participant(author.pk, author.org_id)
    assert seen == [False]


# ── Who is due ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_due_are_those_who_wrote_since_an_analysis_that_is_not_of_just_now() -> None:
    org, now = factories.organization(), timezone.now()
    long_ago, just_now = now - AGAIN_AFTER - timedelta(minutes=1), now - AGAIN_AFTER + timedelta(minutes=1)

    def author(name: str, analysed_at: object, received_at: object) -> Participant:
        fields = {} if analysed_at is None else {**people.PROFILE, "analysed_at": analysed_at}
        one = people.participant(org, name, **fields)
        if received_at is not None:
            # Sent long before: the moment at which it was stored counts.
            people.message(one, received_at=received_at, sent_at=now - timedelta(days=400))
        return one

    author("silent", None, None)
    author("never analysed", None, now)
    author("nothing new", long_ago, long_ago - timedelta(hours=1))
    author("new message", long_ago, long_ago + timedelta(hours=1))
    author("new message, analysed just now", just_now, now)
    found = due(Participant.objects.all(), now).values_list("name", flat=True)
    assert sorted(found) == ["never analysed", "new message"]


def test_only_if_due_refuses_before_anything_is_spent(simulated: dict[str, str], recorded: Recorded) -> None:
    author = people.talkative(factories.organization())
    options = EnrichmentOptions(only_if_due=True)
    enrich_participant(author.pk, author.org_id, options)
    with pytest.raises(NotDueError):
        enrich_participant(author.pk, author.org_id, options)
    assert len(recorded.all()) == 1
    # A request by hand is always answered.
    enrich_participant(author.pk, author.org_id)
    assert len(recorded.all()) == 2


def test_a_message_of_another_organisation_makes_nobody_due() -> None:
    org, other = factories.organization(), factories.organization()
    author = people.participant(org)
    Message.objects.create(
        org=other, participant=author, chat_id="c", external_id="1", text="x", sent_at=timezone.now()
    )
    assert not due(Participant.objects.all(), timezone.now()).exists()
