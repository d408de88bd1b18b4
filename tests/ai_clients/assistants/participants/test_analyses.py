"""The calls of a participant's analyses."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from ai_clients.assistants.participants.analyses import MOST_ANALYSES, analyses
from ai_clients.assistants.participants.content_ids import content_id_of, titles
from tests.support import factories, people
from tests.support.rows import enter, row
from usage_billing.tenancy.scope import EVERYTHING, NOTHING, of_organization, scope_of, scoped

pytestmark = pytest.mark.django_db

KIND = "participant_enrichment"


def test_calls_of_the_participant_alone_the_newest_first() -> None:
    org, other, now = factories.organization(), factories.organization(), timezone.now()
    author, another = people.participant(org), people.participant(org)
    own = {"request_type": KIND, "content_id": content_id_of(author)}
    enter(
        row(org, created_at=now - timedelta(minutes=2), request_id="older", **own),
        row(org, created_at=now - timedelta(minutes=1), request_id="newer", status="failed", **own),
        row(org, created_at=now, request_type=KIND, content_id=content_id_of(another)),
        row(org, created_at=now, request_type="custom_analysis", content_id=content_id_of(author)),
        row(other, created_at=now, **own),
    )
    assert [call.request_id for call in analyses(EVERYTHING, author)] == ["newer", "older"]
    assert len(analyses(of_organization(org.pk), author)) == 2
    assert analyses(of_organization(other.pk), author) == []


def test_a_member_sees_those_that_they_began() -> None:
    org, now = factories.organization(), timezone.now()
    author, member = people.participant(org), factories.member(org)
    own = {"request_type": KIND, "content_id": content_id_of(author), "created_at": now}
    enter(row(org, request_id="mine", user_id=member.pk, **own), row(org, request_id="not mine", **own))
    assert [call.request_id for call in analyses(scope_of(member), author)] == ["mine"]


def test_an_index_finds_them_and_not_more_than_a_page(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    org, now = factories.organization(), timezone.now()
    author = people.participant(org)
    old = now - timedelta(days=700)
    enter(
        *(row(org, created_at=old, request_type=KIND, content_id=content_id_of(author)) for _ in range(MOST_ANALYSES)),
        row(org, created_at=now, request_type=KIND, content_id=content_id_of(author), request_id="newest"),
    )
    with django_assert_num_queries(1) as queries:
        found = analyses(EVERYTHING, author)
    assert (len(found), found[0].request_id) == (MOST_ANALYSES, "newest")
    assert f"\"content_id\" IN ('{content_id_of(author)}')" in queries[0]["sql"]


def test_participants_are_named_to_the_people_of_their_organisation() -> None:
    org, other = factories.organization(), factories.organization()
    ours, theirs = people.participant(org), people.participant(other)
    ids = [content_id_of(ours), content_id_of(theirs), "participant-x", f"participant-{'9' * 30}", str(ours.pk)]
    with scoped(factories.member(org)) as scope:
        assert titles(scope, ids) == {content_id_of(ours): ours.name}
    assert titles(EVERYTHING, ids).keys() == {*ids[:2]}
    assert titles(NOTHING, ids) == {}
