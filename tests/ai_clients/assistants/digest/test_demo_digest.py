"""The demo's digest counts as sent, and no e-mail leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail

from ai_clients.assistants.digest import demo_digest
from ai_clients.assistants.digest.delivery import Outcome, send_digest
from ai_clients.assistants.digest.summary import DigestSummary, has_number
from ai_clients.assistants.models import DigestDelivery
from usage_billing.management import demo_data

pytestmark = pytest.mark.django_db

MONDAY_MORNING = datetime(2026, 11, 23, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    "now", [MONDAY_MORNING, MONDAY_MORNING + timedelta(days=3), MONDAY_MORNING + timedelta(days=6)]
)
def test_last_weeks_digest_has_gone_out(now: datetime) -> None:
    demo_data.create_people()
    assert "Северный ветер" in demo_digest.create(now)
    delivery = DigestDelivery.objects.get()
    assert str(delivery.week) == "2026-11-16"
    assert delivery.sent_at is not None
    assert delivery.sent_at <= now
    assert len(delivery.delivered_to) == 1
    assert send_digest(delivery.org_id, now) is Outcome.ALREADY
    assert mail.outbox == []
    assert demo_digest.create(now) == ""


def test_its_summary_keeps_the_rules_of_summaries() -> None:
    summary = DigestSummary.model_validate(demo_digest.SUMMARY)
    assert summary.model_dump() == demo_digest.SUMMARY
    texts = [summary.headline, *summary.observations]
    assert not [text for text in texts if has_number(text, ["gpt-6.1-sol", "claude-opus-5-5"])]


def test_without_the_demo_there_is_none() -> None:
    assert demo_digest.create(MONDAY_MORNING) == ""
