"""Filters by the account that paid at the provider: API, pages, reports, and the page of one call."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from rest_framework.test import APIClient

from tests.support import factories
from tests.support.api_world import BILLING
from tests.support.factories import event
from tests.support.page_text import read
from tests.support.rows import enter, row
from usage_billing import reports
from usage_billing.ledger import writer
from usage_billing.models import Organization, UsageRecord
from usage_billing.recording.event import ACCOUNT_COLUMNS
from usage_billing.reports import ALL_TIME
from usage_billing.tenancy.scope import of_organization

pytestmark = pytest.mark.django_db
ACCOUNT = {
    "organization": "org-abc",
    "project": "proj_1",
    "api_key": "0123456789abcdef",
    "user_profile": "uprof_1",
}
PARAMETERS = {
    "provider_organization": "org-abc",
    "provider_project": "proj_1",
    "api_key": "0123456789abcdef",
    "user_profile": "uprof_1",
}


@pytest.fixture
def org() -> Organization:
    """A call of an account for 0.50 USD, and one of nobody known for 1 USD."""
    org = factories.organization()
    columns = {column: ACCOUNT[key] for key, column in ACCOUNT_COLUMNS.items()}
    enter(row(org, **columns), row(org, cost_usd=Decimal(1)))
    return org


def test_an_event_brings_its_account_into_the_ledger() -> None:
    writer.add([event(org=factories.organization(), account=ACCOUNT), event(org=factories.organization())])
    paid, unknown = UsageRecord.objects.order_by("id").values(*ACCOUNT_COLUMNS.values(), "known_cost_usd")
    assert paid == {**{column: ACCOUNT[key] for key, column in ACCOUNT_COLUMNS.items()}, "known_cost_usd": None}
    assert unknown == {**dict.fromkeys(ACCOUNT_COLUMNS.values(), ""), "known_cost_usd": None}


def test_the_answer_of_a_background_call_leaves_the_account_of_its_creator() -> None:
    org = factories.organization()
    created: dict[str, Any] = {"flavour": "responses", "url": "https://api.openai.com/v1/responses"}
    pending = event(org=org, request_id="resp_" + 40 * "a", status="pending", usage=None, account=ACCOUNT, **created)
    answer = event(request_id=pending.request_id, completes=True, account={"project": "another"}, **created)
    writer.add([pending])
    writer.add([answer])
    assert UsageRecord.objects.values_list("status", "provider_project").get() == ("succeeded", "proj_1")


@pytest.mark.parametrize(("name", "value"), PARAMETERS.items())
def test_each_report_of_the_api_counts_the_calls_of_the_account_alone(org: Organization, name: str, value: str) -> None:
    api = APIClient()
    api.force_authenticate(factories.owner(org))

    def got(report: str, **query: str) -> Any:
        answer = api.get(f"{BILLING}/{report}", query)
        assert answer.status_code == 200, answer.content
        return answer.json()["data"]

    assert got("summary", **{name: value})["all_time"]["cost_usd"] == "0.5"
    assert got("summary", **{name: ""})["all_time"]["cost_usd"] == "1"
    assert got("summary", **{name: "other"})["all_time"]["requests_count"] == 0
    (model,) = got("by-model", **{name: value}, **{"from": "2026-05-01"})["items"]
    assert (model["cost_usd"], model["requests_count"]) == ("0.5", 1)
    (call,) = got("detailed", **{name: value})["items"]
    assert {key: call[key] for key in ACCOUNT_COLUMNS.values()} == {
        column: ACCOUNT[key] for key, column in ACCOUNT_COLUMNS.items()
    }
    assert call["known_cost_usd"] is None


def test_an_account_never_widens_the_scope(org: Organization) -> None:
    stranger = of_organization(factories.organization().pk)
    (total,) = reports.totals(stranger, filters={"provider_project": "proj_1"}, period=ALL_TIME)
    assert total["requests_count"] == 0


def test_the_page_is_narrowed_by_an_account_and_says_so(org: Organization, client: Client) -> None:
    client.force_login(factories.owner(org))
    page = client.get("/usage/", {"from": "2026-05-01", "api_key": ACCOUNT["api_key"]})
    assert page.status_code == 200
    assert [(chip.label, chip.values) for chip in page.context["chips"]] == [("Ключ API", ACCOUNT["api_key"])]
    assert page.context["total"]["cost_usd"] == Decimal("0.5")


def test_the_page_of_a_call_shows_who_paid_and_the_known_part_of_its_cost(org: Organization, client: Client) -> None:
    enter(row(org, cost_usd=None, cost_rub=None, known_cost_usd=Decimal("0.125"), provider_project="proj_2"))
    client.force_login(factories.owner(org))
    calls = {call.provider_project: call.pk for call in UsageRecord.objects.all()}
    page = read(client.get(f"/usage/calls/{calls['proj_1']}", headers={"accept-language": "en"}))
    labels = ("Provider's organisation", "Provider's project", "API key", "Provider's user profile")
    assert [page.cards[label] for label in labels] == [[value] for value in ACCOUNT.values()]
    known = "Известная часть стоимости: 0,125\xa0$"
    in_russian = {"accept-language": "ru"}
    assert known not in client.get(f"/usage/calls/{calls['proj_1']}", headers=in_russian).content.decode()
    assert known in client.get(f"/usage/calls/{calls['proj_2']}", headers=in_russian).content.decode()
    without = read(client.get(f"/usage/calls/{calls['']}", headers={"accept-language": "en"}))
    assert "Provider's project" not in without.cards


def test_the_known_part_is_in_no_total(org: Organization) -> None:
    enter(row(org, cost_usd=None, cost_rub=None, known_cost_usd=Decimal("0.125")))
    (total,) = reports.totals(of_organization(org.pk), period=ALL_TIME)
    assert (total["cost_usd"], total["unpriced_usd_count"]) == (Decimal("1.5"), 1)


def test_a_known_cost_has_no_known_part(org: Organization) -> None:
    with pytest.raises(IntegrityError, match="token_usage_known_cost"), transaction.atomic():
        enter(row(org, known_cost_usd=Decimal("0.125")))
