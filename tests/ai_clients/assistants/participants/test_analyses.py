"""The calls of a participant's analyses."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from ai_clients.assistants.participants.analyses import DAYS, MOST_ANALYSES, analyses
from tests.support import factories, people
from tests.support.rows import enter, row
from usage_billing.models import UsageRecord
from usage_billing.tenancy.scope import EVERYTHING, of_organization, scope_of

pytestmark = pytest.mark.django_db

KIND = "participant_enrichment"


def test_calls_of_the_participant_alone_the_newest_first() -> None:
    org, other, now = factories.organization(), factories.organization(), timezone.now()
    author, another = people.participant(org), people.participant(org)
    own = {"request_type": KIND, "request_metadata": {"participant_id": author.pk}}
    enter(
        row(org, created_at=now - timedelta(minutes=2), request_id="older", **own),
        row(org, created_at=now - timedelta(minutes=1), request_id="newer", status="failed", **own),
        row(org, created_at=now, request_type=KIND, request_metadata={"participant_id": another.pk}),
        row(org, created_at=now, request_type="custom_analysis", request_metadata={"participant_id": author.pk}),
        row(other, created_at=now, **own),
    )
    assert [call.request_id for call in analyses(EVERYTHING, author, now)] == ["newer", "older"]
    assert len(analyses(of_organization(org.pk), author, now)) == 2
    assert analyses(of_organization(other.pk), author, now) == []


def test_a_member_sees_those_that_they_began() -> None:
    org, now = factories.organization(), timezone.now()
    author, member = people.participant(org), factories.member(org)
    own = {"request_type": KIND, "request_metadata": {"participant_id": author.pk}, "created_at": now}
    enter(row(org, request_id="mine", user_id=member.pk, **own), row(org, request_id="not mine", **own))
    assert [call.request_id for call in analyses(scope_of(member), author, now)] == ["mine"]


def test_old_ones_and_more_than_a_page_are_left_out() -> None:
    org, now = factories.organization(), timezone.now()
    author = people.participant(org)
    type(author).objects.update(created_at=now - timedelta(days=3 * DAYS))
    author.refresh_from_db()
    own = {"request_type": KIND, "request_metadata": {"participant_id": author.pk}}
    enter(row(org, created_at=now - timedelta(days=DAYS + 2), request_id="old", **own))
    assert analyses(EVERYTHING, author, now) == []
    enter(*(row(org, created_at=now - timedelta(days=DAYS - 2), **own) for _ in range(MOST_ANALYSES + 1)))
    assert len(analyses(EVERYTHING, author, now)) == MOST_ANALYSES
    assert UsageRecord.objects.count() == MOST_ANALYSES + 2
