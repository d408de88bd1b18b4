"""People and organisations of the tests of pages, and a clock that stands at noon."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.support.rows import NOON, enter, row
from usage_billing.models import Membership, Organization
from usage_billing.pages import hooks, recorder_state
from usage_billing.recording.outbox import Backlog
from usage_billing.recording.recorder import Health

WELL = Health(backlog=Backlog(events=0, oldest_at=None, rejected=0, lost=0), lost=0, error="")


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """The clock stands at `NOON`, the language is English, and the recorder of this machine is not read."""
    settings.LANGUAGE_CODE = "en"
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOON)
    monkeypatch.setattr("usage_billing.recording.health", lambda: WELL)
    monkeypatch.setattr(hooks, "destination_sources", [])
    recorder_state.forget()


@pytest.fixture
def acme(db: None) -> Organization:
    return Organization.objects.create(name="Acme", slug="acme", timezone="Europe/Moscow")


@pytest.fixture
def globex(db: None) -> Organization:
    return Organization.objects.create(name="Globex", slug="globex", timezone="Europe/Moscow")


@pytest.fixture
def superadmin(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("root", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def member_of(db: None) -> Callable[..., Client]:
    def log_in(*orgs: Organization, role: str = "member", name: str = "misha") -> Client:
        person = User.objects.create_user(name)
        for org in orgs:
            Membership.objects.create(org=org, user=person, role=role)
        client = Client()
        client.force_login(person)
        return client

    return log_in


@pytest.fixture
def owner_of(member_of: Callable[..., Client]) -> Callable[..., Client]:
    return lambda *orgs: member_of(*orgs, role="owner", name="olga")


@pytest.fixture
def two_tenants(acme: Organization, globex: Organization) -> None:
    enter(
        row(acme, request_type="weekly_digest", cost_usd=Decimal("0.25"), cost_rub=Decimal("20")),
        row(acme, request_type="custom_analysis", cost_usd=Decimal("0.75"), cost_rub=Decimal("60")),
        row(globex, request_type="globex_secret", cost_usd=Decimal("7777"), cost_rub=Decimal("622160")),
    )
