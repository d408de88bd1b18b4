"""The pages in a host project that has no admin, no log-in page of ours and no language switch."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import include, path

from tests.support import factories
from tests.support.rows import enter, row
from usage_billing.models import UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

urlpatterns = [path("billing/", include("usage_billing.urls"))]


@pytest.fixture(autouse=True)
def host(settings: Any) -> None:
    settings.LANGUAGE_CODE = "en"
    settings.LOGIN_URL = "/host/login/"


def test_pages_need_no_address_of_the_service() -> None:
    org = factories.organization("Acme")
    enter(row(org))
    call = UsageRecord.objects.get()
    may = "from=2026-05-01&to=2026-05-31"
    for person, address in (
        (factories.superadmin(), f"/billing/superadmin/ai-costs?{may}"),
        (factories.superadmin("other"), f"/billing/superadmin/ai-costs/calls/{call.pk}"),
        (factories.owner(org), f"/billing/usage/?{may}"),
        (factories.owner(org), f"/billing/usage/calls/{call.pk}"),
    ):
        client = Client()
        client.force_login(person)
        response = client.get(address)
        text = response.content.decode()
        assert (response.status_code, "unfold" in text) == (200, False)
        assert "/calls/" in address or f'href="{address.partition("?")[0].rstrip("/")}/calls/{call.pk}"' in text
        assert client.get("/billing/usage/calls/999999", follow=True).status_code == 404


def test_log_in_is_the_hosts() -> None:
    for address in ("/billing/superadmin/ai-costs", "/billing/usage/"):
        assert Client().get(address)["Location"] == f"/host/login/?next={address}"


def test_no_access_page_leads_to_the_persons_own_page() -> None:
    client = Client()
    client.force_login(factories.owner(factories.organization()))
    response = client.get("/billing/superadmin/ai-costs")
    assert response.status_code == 403
    assert 'href="/billing/usage/"' in response.content.decode()
