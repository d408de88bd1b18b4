"""Addresses of calls, by role and by what pages the project has."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from ai_clients.assistants.admin import call_links
from ai_clients.assistants.admin.call_links import call_address, calls_address
from usage_billing.tenancy.scope import EVERYTHING, of_organization

OWNER = of_organization(1)


def test_superadmins_and_others_have_pages_of_their_own() -> None:
    assert calls_address(EVERYTHING, workflow_id="a b").startswith("/superadmin/ai-costs")
    assert calls_address(EVERYTHING, workflow_id="a b").endswith("?workflow_id=a+b")
    assert calls_address(OWNER, content_id=3).startswith("/usage/")
    assert call_address(EVERYTHING, 7) == "/superadmin/ai-costs/calls/7"
    assert call_address(OWNER, 7) == "/usage/calls/7"


def test_another_page_stands_in_for_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(call_links.LISTS, True, ("usage_billing:no-such-page", "usage_billing:ai-costs"))
    assert calls_address(EVERYTHING) == "/superadmin/ai-costs?"


@override_settings(ROOT_URLCONF="tests.support.host_project.urls_without_pages")
def test_a_project_without_the_pages_has_no_links() -> None:
    found: list[Any] = [calls_address(EVERYTHING), calls_address(OWNER), call_address(OWNER, 1)]
    assert found == ["", "", ""]
