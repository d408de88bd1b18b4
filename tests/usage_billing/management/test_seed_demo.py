"""`manage.py seed_demo`: 200 days of a demo that lies behind every page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db.models import Count, Q, Sum
from django.utils import timezone
from pytest_django import Settings

from tests.support import factories
from usage_billing import reports
from usage_billing.budgets.state import states
from usage_billing.ledger import writer
from usage_billing.management import demo_data
from usage_billing.management.demo_data_incidents import RETRYING
from usage_billing.models import (
    AlertDelivery,
    AlertFiring,
    Budget,
    BudgetRequest,
    ExchangeRate,
    Membership,
    Organization,
    UsageRecord,
)
from usage_billing.reports import Period
from usage_billing.tenancy.scope import EVERYTHING, of_organization, within

pytestmark = pytest.mark.django_db

Printed = Callable[..., str]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """Run a command and return its output."""

    def printed(name: str) -> str:
        call_command(name)
        return capsys.readouterr().out

    return printed


def test_seed_demo_makes_200_believable_days_and_keeps_them(printed: Printed, settings: Settings) -> None:
    settings.DEBUG = True
    first = printed("seed_demo")
    calls = UsageRecord.objects.exclude(request_id__startswith="demo-profile-").exclude(status="refused")
    assert f"Added {calls.count():,} calls over 200 days." in first
    assert 10_000 < UsageRecord.objects.count() <= 15_000
    for login in demo_data.logins():
        assert login.username in first

    _check_days()
    _check_shares()
    _check_money()
    _check_anomaly()
    _check_budgets()
    call_command("check_usage")

    count, rates = UsageRecord.objects.count(), ExchangeRate.objects.count()
    again = printed("seed_demo")
    assert ("Added" in again, "budgets" in again) == (False, False)
    assert (UsageRecord.objects.count(), ExchangeRate.objects.count()) == (count, rates)


def _check_days() -> None:
    """Each of the last 90 days has the day of 90 days before beside it, and weekends are quiet."""
    today = timezone.localdate()
    by_day = dict(UsageRecord.objects.values_list("usage_date").annotate(Count("id")))
    assert all(by_day.get(today - timedelta(days=number)) for number in range(1, 190))
    weekend = [count for day, count in by_day.items() if day.weekday() >= 5]
    workdays = [count for day, count in by_day.items() if day.weekday() < 5]
    assert sum(weekend) / len(weekend) < sum(workdays) / len(workdays) / 2


def _check_shares() -> None:
    rows = UsageRecord.objects.values_list("org__slug").annotate(usd=Sum("cost_usd"))
    usd: dict[str, Decimal] = dict(rows)
    assert Decimal("0.5") < usd[RETRYING] / sum(usd.values()) < Decimal("0.7")
    assert usd.keys() == {organization.slug for organization in demo_data.ORGANIZATIONS}


def _check_budgets() -> None:
    """Budgets of each mode and unit; one is used up; a request waits; alerts were raised and delivered, or not."""
    budgets = Budget.objects.select_related("org")
    found = states(budgets, timezone.now())
    assert {*budgets.values_list("mode", flat=True)} == set(Budget.Mode.values)
    assert {*budgets.values_list("unit", flat=True)} == set(Budget.Unit.values)
    assert any(each.is_used_up for each in found.values())
    assert BudgetRequest.objects.filter(state="open").exists()
    assert {*AlertFiring.objects.values_list("state", flat=True)} == {"firing", "resolved"}
    assert {*AlertDelivery.objects.values_list("state", flat=True)} == {"waiting", "sent", "failed"}
    stopped = UsageRecord.objects.filter(status="refused")
    assert {each.response_metadata["budget"]["id"] for each in stopped} <= {each.pk for each in budgets}


def _check_money() -> None:
    """Nearly all calls are priced in both currencies; batch, flex, images and audio are among them."""
    records = UsageRecord.objects.all()
    assert {*records.values_list("status", flat=True)} == {"succeeded", "failed", "aborted", "refused"}
    unpriced = records.filter(cost_usd=None)
    assert {*unpriced.values_list("price_source", flat=True)} == {"unpriced:unknown-model", "unpriced:cut-short"}
    assert 0 < unpriced.count() < records.count() / 50
    assert not records.filter(cost_usd__isnull=False, cost_rub=None).exists()
    assert not records.filter(status="succeeded", cost_usd=0).exists()
    assert records.filter(response_metadata__context__processing="batch").exists()
    assert records.filter(response_metadata__context__service_tier="flex").exists()
    endpoints = {*records.values_list("endpoint", flat=True)}
    assert {"/v1/images/generations", "/v1/audio/speech", "/v1/audio/transcriptions", "/v1/embeddings"} <= endpoints
    sums = records.aggregate(read=Sum("cached_tokens"), written=Sum("cache_write_tokens"), prompt=Sum("prompt_tokens"))
    assert 0.1 < sums["read"] / sums["prompt"] < 0.6
    assert sums["written"] > 0
    assert records.filter(Q(tags__feature="chat"), tags__env="prod").exists()


def _check_anomaly() -> None:
    """The retry loop costs several usual days, in its organisation and over all."""
    org = Organization.objects.get(slug=RETRYING)
    retries = UsageRecord.objects.filter(request_id__startswith="demo-retry-")
    day = retries.values_list("usage_date", flat=True).distinct().get()
    today = timezone.localdate()
    period = Period(today - timedelta(days=29), today + timedelta(days=1))
    with within(of_organization(org.pk)) as scope:
        found = reports.anomalies(reports.time_series(scope, period, today))
    assert found[0].day == day
    assert 3 < found[0].times < 9
    with within(EVERYTHING):
        assert reports.anomalies(reports.time_series(EVERYTHING, period, today))[0].day == day


def test_everybody_can_log_in_in_their_role(
    printed: Printed, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEBUG = True
    monkeypatch.setattr(demo_data, "DAYS", 1)
    printed("seed_demo")
    memberships = {
        (membership.user.get_username(), membership.role, membership.org.name)
        for membership in Membership.objects.select_related("user", "org")
    }
    people = [login for login in demo_data.logins() if login.organization]
    assert memberships == {(login.username, login.role, login.organization) for login in people}
    for name in ("admin", "owner", "roman"):
        assert authenticate(username=name, password=demo_data.PASSWORD) is not None


def test_an_organisation_that_has_calls_gets_no_more(
    printed: Printed, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A demo of an earlier version stays as it is; the organisations that it lacks come in addition."""
    settings.DEBUG = True
    monkeypatch.setattr(demo_data, "DAYS", 3)
    demo_data.create_people()
    old = Organization.objects.get(slug="atlas-studio")
    writer.add([factories.event(org=old)])
    printed("seed_demo")
    assert UsageRecord.objects.filter(org=old).exclude(request_id__startswith="demo-profile-").count() == 1
    assert UsageRecord.objects.filter(org__slug=RETRYING).count() > 10


def test_seed_demo_makes_no_user_with_a_known_password_in_production(settings: Settings) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="known password"):
        call_command("seed_demo")
    assert not Organization.objects.exists()
