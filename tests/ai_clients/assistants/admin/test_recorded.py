"""The recorded calls of a run: what is there, what is still missing, and who may see it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from ai_clients.assistants.admin.recorded import recorded_calls
from tests.support import admin_client, factories
from tests.support.rows import enter, row
from usage_billing.models import Organization, UsageRecord
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db

RUN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def in_english(settings: Settings) -> None:
    settings.LANGUAGE_CODE = "en"


def page(client: Client, **query: Any) -> str:
    return client.get(reverse("admin:ai_assistants_run_calls", args=[RUN]), query).content.decode()


def two_calls(org: Organization) -> list[UsageRecord]:
    enter(row(org, workflow_id=RUN), row(org, workflow_id=RUN, status="failed", error_code="429", cost_usd=None,
          cost_rub=None), row(org, workflow_id="another"))  # fmt: skip
    return list(UsageRecord.objects.filter(workflow_id=RUN).order_by("id"))


def test_calls_that_are_missing_are_counted_until_they_are_there() -> None:
    org = factories.organization()
    assert recorded_calls(EVERYTHING, RUN, 2)["missing"] == 2
    two_calls(org)
    found = recorded_calls(EVERYTHING, RUN, 2)
    assert (found["missing"], len(found["calls"])) == (0, 2)
    assert recorded_calls(EVERYTHING, RUN, 1)["missing"] == 0


def test_page_says_that_calls_are_being_recorded_and_then_links_to_them() -> None:
    client, org = admin_client.superadmin(), factories.organization()
    waiting = page(client, made=2)
    assert "2 calls are being recorded." in waiting
    assert f'data-address="{reverse("admin:ai_assistants_run_calls", args=[RUN])}?made=2"' in waiting
    calls = two_calls(org)
    there = page(client, made=2)
    assert "being recorded" not in there
    assert "data-address" not in there
    for call in calls:
        assert reverse("usage_billing:ai-costs-call", args=[call.pk]) in there
    assert f"workflow_id={RUN}" in there
    assert "$0.50" in there
    assert "429" in there
    assert "system" in there


def test_part_is_the_list_alone() -> None:
    two_calls(factories.organization())
    part = page(admin_client.superadmin(), made=2, part=1)
    assert part.lstrip().startswith('<div class="ai-recorded"')
    assert "<html" not in part


def test_each_sees_the_calls_of_their_scope_alone() -> None:
    ours, theirs = factories.organization(), factories.organization()
    calls = two_calls(ours)
    UsageRecord.objects.filter(pk=calls[0].pk).update(org=theirs, cost_usd=Decimal("7.77"))
    client = admin_client.staff(ours)
    shown = page(client, made=2)
    assert "7.77" not in shown
    assert reverse("usage_billing:call", args=[calls[1].pk]) in shown
    assert reverse("usage_billing:call", args=[calls[0].pk]) not in shown
    assert "No call of this run is recorded" in page(admin_client.staff(factories.organization()))


@pytest.mark.parametrize("made", ["", "x", "-1", "99999", "٣"])
def test_a_number_that_is_none_is_no_number(made: str) -> None:
    assert "being recorded" not in page(admin_client.superadmin(), made=made)


def test_nobody_gets_there_without_the_admin() -> None:
    client = Client()
    address = reverse("admin:ai_assistants_run_calls", args=[RUN])
    assert client.get(address).status_code == 302
    client.force_login(factories.owner(factories.organization()))
    assert client.get(address).status_code == 302
