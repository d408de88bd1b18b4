"""An organisation with two weeks of calls, its owners, and a mail server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from tests.support import factories, mail_server, people
from tests.support.factories import event
from tests.support.mail_server import MailServer
from usage_billing.ledger import writer
from usage_billing.models import Organization

MONDAY = datetime(2026, 11, 23, 6, 0, tzinfo=factories.NOON.tzinfo)
"""Nine in the morning in Moscow, after the week of `factories.NOON`."""


@pytest.fixture
def mail(settings: Settings) -> Iterator[MailServer]:
    """The mail server of this test, reached by Django's own SMTP backend."""
    with mail_server.running() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.DEFAULT_FROM_EMAIL = "Расходы на ИИ <costs@example.com>"
        yield server


@pytest.fixture
def org() -> Organization:
    """Last week 3 calls, one of unknown cost; the week before 1. At 80 RUB a dollar."""
    org = factories.organization("Северный ветер")
    week_before = factories.NOON - timedelta(days=7)
    factories.rate(week_before.date(), "80")
    factories.rate()
    legal = {"agent_id": "legal_guard", "request_type": "legal_check"}
    writer.add(
        [
            event(org=org, user=factories.user("anna"), attribution=legal),
            event(org=org, at=factories.NOON + timedelta(days=3), attribution={"request_type": "trend_report"}),
            event(org=org, at=factories.NOON, model="gpt-99", attribution={"request_type": "trend_report"}),
            event(org=org, at=week_before, attribution=legal),
        ]
    )
    return org


@pytest.fixture
def owners(org: Organization) -> list[User]:
    return [owner(org, name) for name in ("olga", "petr")]


def owner(org: Organization, name: str) -> User:
    """An owner who subscribed to the digest."""
    return people.subscriber(factories.owner(org, name), org, f"{name}@example.com")
