"""The pages for those who cannot see them, or have no mouse: axe-core, and Tab through everything."""

from __future__ import annotations

import pytest

from tests.support.browser import Browser
from tests.support.browser_world import World

PAGES = [
    ("admin", "/superadmin/ai-costs"),
    ("admin", "/superadmin/ai-costs?days=90&rows=all&compare_model=openai/gpt-4o&request_type=weekly_digest"),
    ("admin", "/superadmin/ai-costs?days=nonsense"),
    ("owner", "/usage/?by=user&currency=rub"),
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
    browser.click("[aria-labelledby=latest] tbody a")
    browser.wait_for("#whose")
    faults["record"] = browser.faults()
    browser.photograph(f"record-{theme}-{device}")
    browser.open("/usage/")
    browser.photograph(f"costs-{theme}-{device}")
    assert faults == {address: [] for address in faults}


@pytest.mark.parametrize("device", ["desktop", "phone"])
@pytest.mark.parametrize(("person", "address"), [("admin", "/superadmin/ai-costs?days=7"), ("", "/login/")])
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
