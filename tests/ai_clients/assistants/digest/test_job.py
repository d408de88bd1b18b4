"""The job over all organisations."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from ai_clients.assistants.digest import job
from ai_clients.assistants.digest.delivery import Outcome
from ai_clients.assistants.digest.job import due_organizations, send_digests
from ai_clients.assistants.models import DigestDelivery
from tests.ai_clients.assistants.digest.conftest import MONDAY
from tests.support import factories
from tests.support.mail_server import MailServer
from usage_billing.models import Organization

pytestmark = pytest.mark.django_db


def test_due_are_open_organisations_whose_last_week_has_not_gone_out(org: Organization) -> None:
    sent, tried, closed = (factories.organization() for _ in range(3))
    DigestDelivery.objects.create(org=sent, week="2026-11-16", sent_at=MONDAY)
    DigestDelivery.objects.create(org=tried, week="2026-11-16")
    DigestDelivery.objects.create(org=org, week="2026-11-09", sent_at=MONDAY)
    closed.closed_at = MONDAY
    closed.save()
    assert due_organizations(MONDAY) == [org.pk, tried.pk]
    assert due_organizations(MONDAY + timedelta(days=7)) == [org.pk, sent.pk, tried.pk]


def test_one_that_fails_does_not_stop_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: dict[int, Outcome | Exception] = {
        1: Outcome.SENT,
        2: ZeroDivisionError("a bug"),
        3: Outcome.SENT,
        4: Outcome.QUIET,
        5: Outcome.NOBODY,
    }

    def send(org_id: int, now: object) -> Outcome:
        outcome = outcomes[org_id]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(job, "send_digest", send)
    summary = send_digests(outcomes, MONDAY)
    assert (summary.sent, summary.quiet, summary.nobody, summary.already, summary.failed) == (2, 1, 1, 0, 1)
    assert summary.failures == {2: "ZeroDivisionError: a bug"}


def test_after_a_run_nothing_is_due(
    org: Organization, owners: list[User], mail: MailServer, simulated: dict[str, str]
) -> None:
    assert send_digests(due_organizations(MONDAY), MONDAY).sent == 1
    assert due_organizations(MONDAY) == []
    assert len(mail.received) == 2
