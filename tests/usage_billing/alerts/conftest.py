"""An organisation with an owner, its budget, a clock, and receivers on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from pytest_django import Settings

from tests.support import factories, mail_server
from tests.support.configure import configure
from tests.support.factories import NOON, event
from tests.support.mail_server import MailServer
from usage_billing.ledger import writer
from usage_billing.models import AlertChannel, AlertRule, Budget, Organization

CALL_USD = Decimal("0.00056")
"""What `factories.event` costs."""


@pytest.fixture
def org(db: None) -> Organization:
    org = factories.organization("Северный ветер")
    factories.rate()
    return org


@pytest.fixture
def mail(settings: Settings) -> Iterator[MailServer]:
    with mail_server.running() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.DEFAULT_FROM_EMAIL = "costs@example.com"
        yield server


@pytest.fixture
def private_allowed(settings: Settings) -> None:
    configure(settings, ALERTS_ALLOW_PRIVATE_ADDRESSES=True)


def budget(org: Organization, limit: str, **fields: Any) -> Budget:
    return Budget.objects.create(
        org=org,
        name=fields.pop("name", "November"),
        limit=Decimal(limit),
        starts_on=NOON.date(),
        created_at=fields.pop("created_at", NOON - timedelta(days=100)),
        **fields,
    )


def rule(org: Organization | None, kind: AlertRule.Kind, **fields: Any) -> AlertRule:
    bound = Decimal(fields.pop("bound", 0))
    return AlertRule.objects.create(org=org, kind=kind, name=fields.pop("name", "A rule"), bound=bound, **fields)


def channel(org: Organization | None, target: str = "https://example.com/hook", **fields: Any) -> AlertChannel:
    return AlertChannel.objects.create(
        org=org,
        kind=fields.pop("kind", AlertChannel.Kind.WEBHOOK),
        name=fields.pop("name", "Hook"),
        target=target,
        secret=fields.pop("secret", SECRET),
        **fields,
    )


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def calls(org: Organization, count: int = 1, at: datetime = NOON, duration_ms: int = 1200, **fields: Any) -> None:
    events = [event(org=org, at=at, **fields) for _ in range(count)]
    writer.add([msgspec.structs.replace(each, duration_ms=duration_ms) for each in events])
