"""The admin's theme works under a policy that runs no inline script, and hostile names stay text in it."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.support import hostile
from tests.support.browser import Browser
from tests.support.browser_world import World
from usage_billing.models import ExchangeRate, Membership, Organization

ORGANIZATIONS = "/superadmin/usage_billing/organization/"


def is_shown(browser: Browser, selector: str) -> bool:
    return any(each.is_displayed() for each in browser.all(selector))


def wait_until_shown(browser: Browser, selector: str) -> None:
    WebDriverWait(browser.driver, 20).until(lambda _driver: is_shown(browser, selector), selector)


def click_text(browser: Browser, text: str) -> None:
    """The visible element of the theme that has this text and is no form's button."""
    (found,) = [
        each
        for each in browser.driver.find_elements(By.XPATH, f"//a[contains(normalize-space(), '{text}')]")
        if each.is_displayed()
    ][:1]
    found.click()


def test_sidebar_theme_and_filters(browser: Browser, world: World) -> None:
    browser.log_in("admin")
    browser.open("/superadmin/usage_billing/usagerecord/")
    wait_until_shown(browser, ".sidebar #theme")
    browser.click("#theme")
    browser.wait_for("html.dark")

    browser.open("/superadmin/usage_billing/usagerecord/")
    browser.wait_for("html.dark")
    click_text(browser, "Filters")
    wait_until_shown(browser, "#changelist-filter a[href*='status__exact=failed']")
    browser.driver.execute_script(
        "document.querySelector(\"#changelist-filter a[href*='status__exact=failed']\").click()"
    )
    WebDriverWait(browser.driver, 20).until(lambda _driver: "status__exact=failed" in browser.address)
    browser.wait_for("#result_list tbody tr")
    assert browser.problems() == []


def test_rows_are_added_to_an_organisation_with_suggestions(browser: Browser, world: World) -> None:
    browser.log_in("admin")
    browser.open(f"{ORGANIZATIONS}{world.ours.pk}/change/")
    before = len(browser.all("[name^=memberships][name$=-role]"))
    browser.wait_for("a.add-row")
    browser.click("a.add-row")
    WebDriverWait(browser.driver, 20).until(
        lambda _driver: len(browser.all("[name^=memberships][name$=-role]")) > before
    )
    browser.click("#id_memberships-2-user + .select2")
    browser.wait_for(".select2-search__field")
    browser.one(".select2-search__field").send_keys("stranger")
    wait_until_shown(browser, ".select2-results__option--highlighted")
    WebDriverWait(browser.driver, 20).until(lambda _driver: browser.texts(".select2-results__option") == ["stranger"])
    browser.one(".select2-search__field").send_keys(Keys.ENTER)
    assert browser.texts("#id_memberships-2-user + .select2 .select2-selection__rendered") == ["stranger"]
    browser.click("[name=_continue]")
    browser.wait_for("#id_memberships-2-id[value]")
    assert Membership.objects.filter(org=world.ours, user__username="stranger").exists()
    assert browser.problems() == []


def test_a_day_is_picked_and_a_rate_is_deleted(browser: Browser, world: World) -> None:
    browser.log_in("admin")
    ExchangeRate.objects.all().delete()
    browser.open("/superadmin/usage_billing/exchangerate/add/")
    browser.click("#calendarlink0")
    wait_until_shown(browser, "#calendarin0")
    browser.click("#calendarin0 td.today a, #calendarin0 td a")
    assert browser.one("[name=date]").get_property("value")
    browser.one("[name=usd_rub]").send_keys("80.5")
    browser.click("[name=_save]")
    browser.wait_for("#result_list")
    rate = ExchangeRate.objects.get()
    browser.open(f"/superadmin/usage_billing/exchangerate/{rate.pk}/delete/")
    browser.click("#content form [type=submit], form[method=post]:not([action]) [type=submit]")
    browser.arrive("/superadmin/usage_billing/exchangerate/")
    assert not ExchangeRate.objects.exists()
    assert browser.problems() == []


def test_injected_markup_runs_no_handler_and_no_script(browser: Browser, world: World) -> None:
    """The content security policy stops what an unescaped name would run."""
    browser.log_in("admin")
    browser.open("/superadmin/")
    assert browser.problems() == []
    browser.driver.execute_script(
        "document.body.insertAdjacentHTML('beforeend', arguments[0]);"
        "const script = document.createElement('script'); script.text = 'window.ran = 1';"
        "document.body.append(script)",
        "<img src=/none onerror='window.ran = 1'><a id=link href='javascript:window.ran = 1'>x</a>",
    )
    browser.driver.execute_script("document.getElementById('link').click()")
    WebDriverWait(browser.driver, 20).until(lambda _driver: browser.problems())
    assert browser.driver.execute_script("return window.ran") is None


PAGES = [
    ("owner", "/usage/"),
    ("owner", "/usage/?by=org&currency=rub&filters=edit"),
    ("owner", "/usage/explore?group=org&then=user&rows=all"),
    ("owner", "/usage/calls"),
    ("owner", "/usage/insights"),
    ("admin", "/superadmin/ai-costs?by=org"),
    ("admin", "/superadmin/"),
    ("admin", "/superadmin/usage_billing/usagerecord/"),
    ("admin", "/superadmin/usage_billing/organization/"),
    ("admin", "/superadmin/ai_assistants/message/"),
    ("admin", "/superadmin/ai_assistants/digestdelivery/preview/"),
]


@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_hostile_names_are_text_and_no_page_grows_wider_than_the_screen(
    browser: Browser, world: World, device: str
) -> None:
    org = Organization.objects.get(pk=world.ours.pk)
    made = hostile.World(("element", "template", "long", "bidi"))
    for rows in made.rows.values():
        Membership.objects.create(org=rows[0], user=org.memberships.get(role="owner").user, role="owner")
    browser.on(device)
    who, wide = "", {}
    for person, address in PAGES:
        if person != who:
            browser.driver.delete_all_cookies()
            browser.log_in(person)
            who = person
        browser.open(address)
        for fold in browser.all("details:not([open]) > summary"):
            browser.driver.execute_script("arguments[0].parentElement.open = true", fold)
        wide[address] = max(0, browser.overflow())
        assert browser.all("zqx, [onzqx]") == []
    for rows in made.rows.values():
        for one in (rows[0], rows[2], rows[3], rows[4], rows[6]):
            browser.open(f"/superadmin/{one._meta.app_label}/{one._meta.model_name}/{one.pk}/change/")
            wide[browser.address] = max(0, browser.overflow())
            assert browser.all("zqx, [onzqx]") == []
    browser.driver.delete_all_cookies()
    browser.log_in("owner")
    for rows in made.rows.values():
        browser.open(f"/usage/calls/{rows[6].pk}")
        wide[browser.address] = max(0, browser.overflow())
    assert wide == dict.fromkeys(wide, 0)
    assert browser.problems() == []
