"""Gauges of spend and budgets on /metrics."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import OperationalError
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries, Settings

from tests.support.budgets import budget
from tests.support.configure import configure
from tests.support.factories import organization
from tests.support.rows import enter, row
from usage_billing.monitoring import spend
from usage_billing.reports import PeriodTooLongError

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(days=3)
LAST_MONTH = NOW - timedelta(days=20)
UNKNOWN = {"cost_usd": None, "cost_rub": None}


@pytest.fixture(autouse=True)
def nothing_read_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)
    spend.forget()
    yield
    spend.forget()


def read(client: Client, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return the gauge's values by these labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(sample.labels[label] for label in labels): sample.value for sample in samples}


def spent(client: Client, name: str) -> dict[tuple[str, ...], float]:
    return read(client, f"usage_spend_{name}", "organization", "period")


def test_spend_of_organizations_today_and_this_month(client: Client) -> None:
    one, two = organization(), organization()
    enter(
        row(one, created_at=NOW),
        row(one, created_at=NOW, **UNKNOWN),
        row(one, created_at=EARLIER, cost_usd=Decimal("2.25")),
        row(one, created_at=LAST_MONTH),
        row(two, created_at=EARLIER, **UNKNOWN),
    )
    keys = [(one.slug, "today"), (two.slug, "today"), (one.slug, "this_month"), (two.slug, "this_month")]
    assert spent(client, "calls") == dict(zip(keys, [2, 0, 3, 1], strict=True))
    assert spent(client, "unpriced_calls") == dict(zip(keys, [1, 0, 1, 1], strict=True))
    assert spent(client, "tokens") == dict(zip(keys, [240, 0, 360, 120], strict=True))
    # Nothing is known about what `two` spent this month: no zero is shown.
    assert spent(client, "usd") == dict(zip(keys[:3], [0.5, 0, 2.75], strict=True))


def test_organizations_beyond_the_limit_are_added_up(client: Client, settings: Settings) -> None:
    configure(settings, METRICS_ORGANIZATIONS=2)
    orgs = [organization() for _ in range(4)]
    enter(*(row(org, created_at=EARLIER, cost_usd=Decimal(10 - number)) for number, org in enumerate(orgs)))
    enter(row(orgs[3], created_at=NOW, cost_usd=Decimal("0.25")))
    first, second = orgs[0].slug, orgs[1].slug
    assert spent(client, "usd") == {
        (first, "today"): 0,
        (second, "today"): 0,
        ("…other", "today"): 0.25,
        (first, "this_month"): 10,
        (second, "this_month"): 9,
        ("…other", "this_month"): 15.25,
    }


def test_budgets_and_how_many_are_left_out(client: Client, settings: Settings) -> None:
    org, closed = organization(), organization()
    shown, _other = budget(org, name='“a” "b" \\c\nd{e="f"} 1'), budget(org, unit="calls")
    budget(org, is_active=False)
    budget(closed)
    closed.closed_at = NOW
    closed.save()
    enter(row(org, created_at=NOW), row(org, created_at=NOW, **UNKNOWN))
    configure(settings, METRICS_ORGANIZATIONS=1)
    key = (org.slug, shown.name, str(shown.pk), "usd", "month")
    labels = ("organization", "budget", "id", "unit", "window")
    assert read(client, "usage_budget_limit", *labels) == {key: 100}
    assert read(client, "usage_budget_spent", *labels) == {key: 0.5}
    assert read(client, "usage_budget_reserved", *labels) == {key: 0}
    assert read(client, "usage_budget_unpriced_calls", *labels) == {key: 1}
    assert read(client, "usage_budgets_left_out") == {(): 1}


def test_zero_turns_the_gauges_off(client: Client, settings: Settings) -> None:
    org = organization()
    budget(org)
    enter(row(org, created_at=NOW))
    assert spent(client, "usd") != {}
    configure(settings, METRICS_ORGANIZATIONS=0)
    text = client.get("/metrics").content.decode()
    assert "usage_database_up" in text
    assert "usage_spend" not in text
    assert "usage_budget" not in text


def test_scrapers_in_a_row_read_the_ledger_once(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(row(organization(), created_at=NOW))
    first = spent(client, "usd")
    with django_assert_num_queries(1):  # whether the database answers
        assert spent(client, "usd") == first != {}
    monkeypatch.setattr(spend, "READ_EVERY_S", 0.0)
    spend.forget()
    spent(client, "usd")
    enter(row(organization(), created_at=NOW))
    assert len(spent(client, "usd")) == len(first) + 2


def test_a_ledger_that_fails_leaves_the_other_metrics(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("the connection was closed")

    monkeypatch.setattr(spend, "totals", away)
    assert read(client, "usage_outbox_readable") == {(): 1}
    assert "the connection was closed" in caplog.text


def test_an_error_of_ours_is_not_hidden(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise PeriodTooLongError

    monkeypatch.setattr(spend, "totals", wrong)
    with pytest.raises(PeriodTooLongError):
        client.get("/metrics")
