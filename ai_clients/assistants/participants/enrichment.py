"""Makes a participant's profile: reads the messages, asks the model, saves its answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from ai_clients.assistants.models import Message, Participant
from ai_clients.assistants.participants.profiles import Profile, analyze_participant
from usage_billing.tenancy.scope import of_organization, within

MOST_MESSAGES = 500
CLAIM_FOR = timedelta(minutes=15)
"""How long an analysis may take; the SDK gives up sooner. The process of an older one has died."""
AGAIN_AFTER = timedelta(hours=12)
"""The least time between two analyses of a participant by the job, however often it runs."""


class EnrichmentError(Exception):
    """No call was made, and nothing was spent. `str()` is for people."""


class NoMessagesError(EnrichmentError):
    def __init__(self) -> None:
        super().__init__(gettext("This participant has no messages: there is nothing to analyse."))


class EnrichmentInProgressError(EnrichmentError):
    def __init__(self) -> None:
        super().__init__(gettext("An analysis of this participant is under way. Wait for it to end."))


class NotDueError(EnrichmentError):
    def __init__(self) -> None:
        super().__init__(gettext("Nothing new has been written since the last analysis."))


@dataclass(frozen=True)
class EnrichmentOptions:
    """max_messages: how many of the newest are read, 1 to `MOST_MESSAGES`. only_if_due: NotDueError unless `due`."""

    max_messages: int = 100
    only_if_due: bool = False


def enrich_participant(
    participant_id: int, org_id: int, options: EnrichmentOptions | None = None, user_id: int | None = None
) -> Participant:
    """Analyse the participant's newest messages and save the profile; the call is charged to the organisation.

    Raises Participant.DoesNotExist for one of another organisation, EnrichmentError before anything is spent,
    `structured.AnswerError` and the SDK's own errors with the old profile left as it was.
    """
    options = options or EnrichmentOptions()
    now = timezone.now()
    with within(of_organization(org_id)):
        participant = Participant.objects.get(pk=participant_id, org_id=org_id)
        messages = newest_messages(participant, options.max_messages)
        if not messages:
            raise NoMessagesError
        _claim(participant, now, only_if_due=options.only_if_due)
    with _released_on_failure(participant):
        profile = analyze_participant(messages, participant, user=user_id)
    with within(of_organization(org_id)):
        return _save(participant, profile, now)


def newest_messages(participant: Participant, number: int) -> list[Message]:
    """The participant's newest messages, newest first, with those that they answer."""
    messages = Message.objects.filter(org_id=participant.org_id, participant=participant)
    return list(messages.select_related("answers").order_by("-sent_at", "-pk")[:number])


def due(participants: QuerySet[Participant], now: datetime) -> QuerySet[Participant]:
    """The participants who wrote something since their last analysis, unless that was recent."""
    messages = Message.objects.filter(org=OuterRef("org"), participant=OuterRef("pk"))
    new_messages = messages.filter(received_at__gt=OuterRef("analysed_at"))
    return participants.filter(
        Q(Exists(messages), analysed_at=None) | Q(Exists(new_messages), analysed_at__lt=now - AGAIN_AFTER),
    )


def _claim(participant: Participant, now: datetime, *, only_if_due: bool) -> None:
    """Claim the analysis in one statement, so that two runs do not pay for the same one."""
    own = Participant.objects.filter(pk=participant.pk, org_id=participant.org_id)
    if only_if_due and not due(own, now).exists():
        raise NotDueError
    free = own.filter(Q(claimed_at=None) | Q(claimed_at__lt=now - CLAIM_FOR))
    if not (due(free, now) if only_if_due else free).update(claimed_at=now):
        raise EnrichmentInProgressError


@contextmanager
def _released_on_failure(participant: Participant) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with within(of_organization(participant.org_id)):
            Participant.objects.filter(pk=participant.pk, org_id=participant.org_id).update(claimed_at=None)
        raise


def _save(participant: Participant, profile: Profile, now: datetime) -> Participant:
    participant.interests = profile.interests
    participant.role = profile.role.value
    participant.activity = profile.activity.value
    participant.tone = profile.tone.value
    participant.analysed_at = now
    participant.claimed_at = None
    participant.save(update_fields=("interests", "role", "activity", "tone", "analysed_at", "claimed_at"))
    return participant
