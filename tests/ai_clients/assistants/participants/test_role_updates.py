"""The job over all participants."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from ai_clients.assistants.models import Participant
from ai_clients.assistants.participants import role_updates
from ai_clients.assistants.participants.enrichment import EnrichmentOptions, enrich_participant
from ai_clients.assistants.participants.role_updates import Key, due_participants, update_roles
from tests.support import factories, people
from tests.support.recorded import Recorded

pytestmark = pytest.mark.django_db


def test_all_organisations_are_worked_through_for_nobody(simulated: dict[str, str], recorded: Recorded) -> None:
    first, second = factories.organization(), factories.organization()
    authors = [people.talkative(org, name) for org in (first, second) for name in ("Олег", "Анна")]
    people.participant(first, "Молчун")
    closed = factories.organization()
    closed.closed_at = timezone.now()
    closed.save()
    people.talkative(closed)

    summary = update_roles(due_participants(timezone.now()))

    assert (summary.organizations, summary.analysed, summary.skipped, summary.failed) == (2, 4, 0, 0)
    charged = [(event.attribution.org_id, event.attribution.user_id) for event in recorded.all()]
    assert charged == [(first.pk, None), (first.pk, None), (second.pk, None), (second.pk, None)]
    assert {author.pk for author in authors} == set(
        Participant.objects.filter(analysed_at__isnull=False).values_list("pk", flat=True)
    )


def test_a_run_that_was_broken_off_is_gone_on_with(simulated: dict[str, str], recorded: Recorded) -> None:
    org = factories.organization()
    authors = [people.talkative(org, f"Автор {number}") for number in range(4)]

    def broken_off(keys: list[Key]) -> Iterator[Key]:
        yield from itertools.islice(keys, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update_roles(broken_off(due_participants(timezone.now())))
    assert len(recorded.all()) == 2

    summary = update_roles(due_participants(timezone.now()))

    assert summary.analysed == 2
    asked = [event.attribution.metadata["participant_id"] for event in recorded.all()]
    assert sorted(asked) == [author.pk for author in authors]
    assert due_participants(timezone.now()) == []


def test_one_that_fails_does_not_stop_the_rest_and_is_due_again(
    simulated: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    org = factories.organization()
    broken, fine = people.talkative(org, "Первая"), people.talkative(org, "Второй")

    def failing(participant_id: int, org_id: int, options: EnrichmentOptions) -> Participant:
        if participant_id == broken.pk:
            raise ZeroDivisionError("a bug")
        return enrich_participant(participant_id, org_id, options)

    monkeypatch.setattr(role_updates, "enrich_participant", failing)
    summary = update_roles(due_participants(timezone.now()))
    assert (summary.analysed, summary.failed) == (1, 1)
    assert summary.failures == {Key(org.pk, broken.pk): "ZeroDivisionError: a bug"}
    assert due_participants(timezone.now()) == [Key(org.pk, broken.pk)]
    fine.refresh_from_db()
    assert fine.analysed_at is not None


def test_runs_side_by_side_pay_for_nobody_twice(simulated: dict[str, str], recorded: Recorded) -> None:
    org = factories.organization()
    for number in range(3):
        people.talkative(org, f"Автор {number}")
    keys = due_participants(timezone.now())
    first, second = update_roles(keys), update_roles(keys)
    assert (first.analysed, second.analysed, second.skipped) == (3, 0, 3)
    assert len(recorded.all()) == 3


def test_those_who_never_were_and_those_who_waited_longest_come_first() -> None:
    org, now = factories.organization(), timezone.now()
    long_ago, longer_ago = now - timedelta(days=2), now - timedelta(days=9)
    order = []
    for name, analysed_at in (("b", long_ago), ("a", longer_ago), ("new", None)):
        fields = {} if analysed_at is None else {**people.PROFILE, "analysed_at": analysed_at}
        author = people.participant(org, name, **fields)
        people.message(author)
        order.append(author.pk)
    assert [key.participant_id for key in due_participants(now)] == order[::-1]
