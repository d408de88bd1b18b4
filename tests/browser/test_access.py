"""The pages for those who cannot see them, or have no mouse: axe-core, and Tab through everything."""

from __future__ import annotations

import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from tests.support.browser import Browser
from tests.support.browser_world import World

PAGES = [
    ("admin", "/superadmin/ai-costs"),
    ("admin", "/superadmin/ai-costs?period=this-month&filters=edit"),
    ("admin", "/superadmin/ai-costs?days=nonsense"),
    ("admin", "/superadmin/ai-costs/explore?group=org&then=ai_model&patterns=1"),
    ("admin", "/superadmin/ai-costs/explore?metric=p95_time&step=week"),
    ("admin", "/superadmin/ai-costs/calls?sort=-cost_usd"),
    ("admin", "/superadmin/ai-costs/insights?compare_model=openai/gpt-4o"),
    ("admin", "/superadmin/ai-costs/views"),
    ("owner", "/usage/?by=user&currency=rub"),
    ("owner", "/usage/calls"),
    ("owner", "/usage/tokens"),
    ("owner", "/usage/tokens/new"),
    ("owner", "/account/"),
    ("owner", "/account/email/"),
    ("member", "/usage/?agent_id=nobody"),
    ("stranger", "/usage/"),
    ("owner", "/superadmin/ai-costs"),
    ("owner", "/usage/calls/999999"),
    ("", "/login/"),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_no_serious_fault(browser: Browser, world: World, theme: str, device: str) -> None:
    browser.on(device)
    browser.in_theme(theme)
    who = ""
    faults = {}
    for person, address in PAGES:
        if person != who:
            browser.driver.delete_all_cookies()
            if person:
                browser.log_in(person)
            who = person
        browser.open(address)
        for fold in browser.all("details:not([open]) > summary"):
            browser.driver.execute_script("arguments[0].parentElement.open = true", fold)
        faults[f"{person} {address}"] = browser.faults()
        assert browser.overflow() <= 0, address
    browser.driver.delete_all_cookies()
    browser.log_in("owner")
    browser.click("table.calls tbody a")
    browser.wait_for("dialog.sheet #call")
    faults["sheet"] = browser.faults()
    browser.photograph(f"sheet-{theme}-{device}")
    assert faults == {address: [] for address in faults}


@pytest.mark.parametrize("device", ["desktop", "phone"])
@pytest.mark.parametrize(
    ("person", "address"),
    [("admin", "/superadmin/ai-costs?days=7"), ("owner", "/usage/explore"), ("owner", "/usage/calls"), ("", "/login/")],
)
def test_everything_is_reached_by_tab_and_shows_it(
    browser: Browser, world: World, person: str, address: str, device: str
) -> None:
    browser.on(device)
    if person:
        browser.log_in(person)
    browser.open(address)
    wanted = browser.focusable()
    reached, unseen = browser.tabbed()
    assert unseen == []
    assert [each.get_attribute("outerHTML") for each in wanted if each not in reached] == []
    assert reached[0].get_attribute("class") == "skip"


def test_keyboard_opens_and_closes_sheets_and_menus(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.open("/usage/calls?days=7")

    def press(selector: str, key: str) -> None:
        browser.driver.execute_script("arguments[0].focus()", browser.one(selector))
        webdriver.ActionChains(browser.driver).send_keys(key).perform()

    press("table.calls tbody a", Keys.ENTER)
    browser.wait_for("dialog.sheet[open] #call")
    webdriver.ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
    browser.wait_for("body:not(:has(dialog))")
    assert browser.driver.execute_script("return document.activeElement.matches('table.calls tbody a')")
    press("a.chip[data-sheet]", Keys.ENTER)
    browser.wait_for("dialog.sheet[open] #filters")
    press("dialog.sheet [name=agent_id][value=legal_guard]", Keys.SPACE)
    press("dialog.sheet button[type=submit]", Keys.ENTER)
    browser.wait_for("a.chip:not(.add) b")
    press(".segments .popover > summary", Keys.ENTER)
    browser.wait_for(".segments .popover[open]")
    webdriver.ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
    browser.wait_for(".segments .popover:not([open])")
