"""Recording and prices: what superadmins see of the outbox, the exchange rate and the price list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.test import Client

from tests.support.page_text import read
from tests.support.rows import NOON, enter, row
from usage_billing.costing import price_list
from usage_billing.models import ExchangeRate, Organization
from usage_billing.pages import recorder_state
from usage_billing.recording.outbox import Backlog
from usage_billing.recording.recorder import Health

ADMIN, OWN = "/superadmin/ai-costs/insights", "/usage/insights"
UNKNOWN = {"cost_usd": None, "cost_rub": None, "price_source": "unpriced:unknown-model"}

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_noon")]


def recorder(monkeypatch: pytest.MonkeyPatch, health: Health) -> None:
    monkeypatch.setattr("usage_billing.recording.health", lambda: health)
    recorder_state.forget()


def test_outbox_is_the_superadmins(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_minutes_ago = (NOON - timedelta(minutes=3)).timestamp()
    backlog = Backlog(events=1200, oldest_at=three_minutes_ago, rejected=2, lost=4)
    recorder(monkeypatch, Health(backlog=backlog, lost=5, error="disk full"))
    enter(row(acme))
    for query in ("", "?agent_id=nobody"):  # whatever the filters
        cards = read(superadmin.get(ADMIN + query)).cards
        assert cards["Waiting for the ledger"][0].startswith("1,200, the oldest for 3\u00a0minutes")
        assert cards["Rejected by the ledger"] == ["2 Find the reason in the log, then run drain_usage --retry."]
        assert (cards["Lost"], cards["Error"]) == (["5"], ["disk full"])
        assert cards["Newest exchange rate"] == ["none New calls have no amount in RUB. Run fetch_exchange_rates."]
    assert "Lost" not in read(owner_of(acme).get(OWN)).cards


@pytest.mark.parametrize(
    ("days_old", "said"),
    [
        (0, "20 May 2026"),
        (1, "19 May 2026, 1 day old"),
        (3, "17 May 2026, 3 days old"),
        (6, "14 May 2026, 6 days old It is late. Check whether fetch_exchange_rates still runs."),
        (11, "9 May 2026, 11 days old New calls have no amount in RUB. Run fetch_exchange_rates."),
    ],
)
def test_late_rates_are_reported(superadmin: Client, days_old: int, said: str) -> None:
    ExchangeRate.objects.create(date=NOON.date() - timedelta(days=days_old), usd_rub=Decimal(80))
    response = superadmin.get(ADMIN)
    assert read(response).cards["Newest exchange rate"] == [said]
    assert response.context["recording"].is_well is (days_old < 6)
    assert ("Something needs attention." in response.content.decode()) is (days_old >= 6)


@pytest.mark.parametrize(
    ("day", "said"), [(date(2026, 5, 10), "10 days old"), (date(2026, 3, 1), "80 days old It is old.")]
)
def test_age_of_the_price_list_is_told(superadmin: Client, day: date, said: str) -> None:
    with price_list.replaced(price_list.PriceList(providers=[], from_auto_update=True, name="a list", day=day)):
        (text,) = read(superadmin.get(ADMIN)).cards["Price list"]
    assert text.startswith(f"a list, {said}")


def test_installed_price_list_has_no_age(superadmin: Client) -> None:
    (text,) = read(superadmin.get(ADMIN)).cards["Price list"]
    assert text == f"{price_list.INSTALLED}, as installed; update_prices brings a newer one"


def test_models_without_a_price_are_named(superadmin: Client, acme: Organization) -> None:
    assert read(superadmin.get(ADMIN)).cards["Models without a price"] == ["none in the last 30 days"]
    enter(
        *(row(acme, ai_model=f"gpt-9{n}", **UNKNOWN) for n in range(8)),
        row(acme, ai_model="gpt-99", **UNKNOWN),
        row(acme, ai_model="gpt-5", cost_usd=None, cost_rub=None, price_source="unpriced:cut-short"),
    )
    page = read(superadmin.get(f"{ADMIN}?days=7&agent_id=nobody"))
    (text,) = page.cards["Models without a price"]
    assert text.startswith("gpt-90, gpt-91, gpt-92, gpt-93, gpt-94, gpt-95 and 3 more Update the price list")
    assert "model_pattern=gpt-90" in page.links["gpt-90"]


def test_unreadable_outbox_is_reported(superadmin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder(monkeypatch, Health(backlog=None, lost=0, error="no such disk"))
    response = superadmin.get(ADMIN)
    assert read(response).cards["Waiting for the ledger"] == ["unknown: the outbox cannot be read"]
    assert "Something needs attention." in response.content.decode()
