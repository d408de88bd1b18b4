"""The admin of budgets and alerts: it shows them, names what they lead to, and changes nothing."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.support import factories
from usage_billing.models import (
    AlertChannel,
    AlertDelivery,
    AlertFiring,
    AlertRule,
    Budget,
    BudgetChange,
    BudgetRequest,
    Organization,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(acme: Organization) -> dict[Any, Any]:
    person = factories.member(acme, "misha")
    budget = Budget.objects.create(
        org=acme, name="November", limit=Decimal(1500), starts_on=date(2026, 11, 1), user=person, mode="stop"
    )
    channel = AlertChannel.objects.create(
        org=acme, name="Chat", kind="telegram", target="-1001", secret="123456:very-secret"
    )
    rule = AlertRule.objects.create(org=None, name="Errors", kind="errors", bound=Decimal(5))
    firing = AlertFiring.objects.create(org=acme, budget=budget, key="2026-11-01/80", bound=Decimal(1200))
    change = BudgetChange.objects.create(
        org=acme, budget=budget, budget_name="November", by="olga", fields={"limit": ["10", "1500"]}
    )
    asked = BudgetRequest.objects.create(org=acme, budget=budget, user=person, limit=Decimal(2000), reason="Report")
    delivery = AlertDelivery.objects.create(
        org=acme, firing=firing, channel=channel, event="firing", problem="Status 503."
    )
    made = (budget, channel, rule, firing, change, asked, delivery)
    return {type(each): each for each in made}


def address(row: Any, page: str) -> str:
    name = f"admin:usage_billing_{row._meta.model_name}_{page}"
    return reverse(name, args=[] if page in ("changelist", "add") else [row.pk])


SAID = {
    Budget: ["November", "$1,500.00", "misha", "/usage/budgets/"],
    BudgetChange: ["November", "olga", "limit: 10 → 1500"],
    BudgetRequest: ["November", "misha", "$2,000.00", "Report"],
    AlertChannel: ["Chat", "-1001", "/usage/alerts/channels/"],
    AlertRule: ["Errors", "the installation", "/usage/alerts/rules/"],
    AlertFiring: ["November", "2026-11-01/80"],
    AlertDelivery: ["Chat", "Status 503."],
}


@pytest.mark.parametrize("model", SAID)
def test_page_says_what_the_row_is(superadmin: Client, rows: dict[Any, Any], model: Any) -> None:
    text = unescape(superadmin.get(address(rows[model], "change")).content.decode())
    assert [said for said in SAID[model] if said not in text] == []
    listed = unescape(superadmin.get(address(rows[model], "changelist")).content.decode())
    assert SAID[model][0] in listed


@pytest.mark.parametrize("model", SAID)
def test_nothing_is_added_changed_or_deleted(superadmin: Client, rows: dict[Any, Any], model: Any) -> None:
    columns = [field.attname for field in model._meta.concrete_fields if field.attname != "secret"]
    before = list(model.objects.values(*columns))
    for page in ("add", "change", "delete"):
        assert superadmin.post(address(rows[model], page), {"post": "yes"}).status_code == 403, page
    assert list(model.objects.values(*columns)) == before
    assert len(before) == 1


def test_secret_of_a_channel_is_not_shown(superadmin: Client, rows: dict[Any, Any]) -> None:
    for page in ("change", "changelist"):
        assert "very-secret" not in superadmin.get(address(rows[AlertChannel], page)).content.decode()


def test_budget_of_a_deleted_user_is_shown(superadmin: Client, rows: dict[Any, Any]) -> None:
    budget = rows[Budget]
    Budget.objects.filter(pk=budget.pk).update(user_id=999_999)
    assert "#999999" in superadmin.get(address(budget, "change")).content.decode()


def test_list_asks_as_many_questions_for_more_rows(
    superadmin: Client, acme: Organization, rows: dict[Any, Any], django_assert_max_num_queries: Any
) -> None:
    for number in range(10):
        each = factories.organization()
        Budget.objects.create(org=each, name=f"B{number}", limit=1, starts_on=date(2026, 1, 1))
    with django_assert_max_num_queries(16):
        superadmin.get(address(rows[Budget], "changelist"))


def test_list_of_requests_asks_as_many_questions_for_more_people(
    superadmin: Client, acme: Organization, rows: dict[Any, Any], django_assert_num_queries: Any
) -> None:
    BudgetRequest.objects.update(user_id=999_999)  # a deleted user, so that the first list asks for those too
    with CaptureQueriesContext(connection) as few:
        superadmin.get(address(rows[BudgetRequest], "changelist"))
    for number in range(5):
        person = factories.member(acme, f"asks-{number}")
        BudgetRequest.objects.create(org=acme, budget=rows[Budget], user=person, limit=1, reason="More")
    with django_assert_num_queries(len(few)):
        listed = superadmin.get(address(rows[BudgetRequest], "changelist")).content.decode()
    assert [name for name in ("#999999", "asks-0", "asks-4") if name not in listed] == []


def test_page_of_an_organisation_links_its_budgets(superadmin: Client, acme: Organization) -> None:
    text = superadmin.get(address(acme, "change")).content.decode()
    (link,) = re.findall(r'href="([^"]+)">Budgets of this organisation', text)
    answer = superadmin.get(link)
    assert answer["Location"] == f"/superadmin/ai-costs/budgets?org={acme.pk}"
    assert superadmin.get(answer["Location"]).context["org_id"] == acme.pk
