"""The Calls page and its sheet, with the keyboard and on a phone, in both languages."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.keys import Keys

from tests.support.browser import Browser
from tests.support.browser_world import World
from usage_billing.models import UsageRecord

CALLS = {"admin": "/superadmin/ai-costs/calls", "owner": "/usage/calls", "member": "/usage/calls"}


@pytest.mark.parametrize("device", ["desktop", "phone"])
@pytest.mark.parametrize(("person", "language"), [("admin", "en"), ("owner", "ru"), ("member", "en")])
def test_sheet_opens_over_the_list_and_closes_with_escape(
    browser: Browser, world: World, person: str, language: str, device: str
) -> None:
    browser.log_in(person, language)
    browser.on(device)
    browser.open(f"{CALLS[person]}?sort=-cost_usd&currency=rub")
    check(browser)
    link = browser.one("table.calls tbody a")
    call = UsageRecord.objects.get(pk=urlsplit(str(link.get_attribute("href"))).path.rpartition("/")[2])
    link.send_keys(Keys.ENTER)
    browser.wait_for("dialog.sheet .cost-lines")
    assert browser.address == f"{CALLS[person]}?sort=-cost_usd&currency=rub"
    assert Decimal(browser.attribute("dialog.sheet .cost-lines [data-usd]", "data-usd")) == call.cost_usd
    check(browser)
    browser.one("dialog.sheet [data-close]").send_keys(Keys.ESCAPE)
    browser.wait_for("body:not(:has(dialog))")
    assert browser.driver.switch_to.active_element == link


def check(browser: Browser) -> None:
    assert browser.problems() == []
    assert browser.overflow() <= 0
    assert browser.faults() == []


def test_page_of_a_call_works_by_itself(browser: Browser, world: World) -> None:
    browser.on("phone")
    browser.log_in("admin")
    browser.open(f"{CALLS['admin']}/{world.secret.pk}")
    assert browser.texts("h1")[0].startswith("$4.43")
    check(browser)


def test_columns_and_order_need_no_script(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.open("/usage/calls?days=7")
    browser.click("details:has(.columns-form) > summary")
    browser.click(".columns-form [value=workflow_id]")
    browser.click(".columns-form button")
    browser.wait_for(".calls td.id")
    browser.click(".calls th.amount a")
    browser.wait_for(".calls th.amount[aria-sort=descending]")
    assert "workflow_id" in browser.address
    assert "sort=-cost_usd" in browser.address
