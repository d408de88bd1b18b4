"""The AI costs page as three people use it, in both languages, on a phone and on a desktop."""

from __future__ import annotations

import pytest

from tests.support.browser import Browser
from tests.support.browser_world import SECRET_USD, World

PAGES = {"admin": "/superadmin/ai-costs", "owner": "/usage/", "member": "/usage/"}
WORDS = {
    "en": {"title": "AI costs", "week": "7 days"},
    "ru": {"title": "AI Расходы", "week": "7 дней"},
}


@pytest.mark.parametrize("device", ["desktop", "phone"])
@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("person", ["admin", "owner", "member"])
def test_person_finds_their_way(browser: Browser, world: World, person: str, language: str, device: str) -> None:
    browser.on(device)
    browser.log_in(person, language)
    browser.arrive(PAGES[person])
    assert browser.attribute("html", "lang") == language
    assert browser.texts("h1") == [WORDS[language]["title"]]
    assert len(browser.texts(".card .total")) == 4
    assert ("globex_secret" in browser.driver.page_source) is (person == "admin")
    _check(browser)
    browser.photograph(f"costs-{person}-{language}-{device}")

    browser.follow(browser.texts(".segments a")[0])
    browser.arrive(f"{PAGES[person]}?days=7")
    assert browser.texts(".segments [aria-current=page]") == browser.texts(".segments a")[:1]
    assert len(browser.all(".chart .day")) == 7

    browser.click(".filters summary")
    browser.choose("request_type", "weekly_digest")
    browser.click(".filters .filter-form button")
    browser.arrive(f"{PAGES[person]}?days=7&request_type=weekly_digest")
    assert browser.texts(".chip strong") == ["weekly_digest"]
    assert "custom_analysis" not in browser.texts("#by-request_type ~ .scroll tbody a")
    requests = browser.texts(".card .total")[0]

    browser.follow("legal_guard" if "legal_guard" in browser.texts("tbody a") else "repurpose")
    browser.wait_for(".chips li:nth-child(2)")
    assert browser.texts(".chip strong")[0] in ("legal_guard", "repurpose")
    assert int(browser.texts(".card .total")[0]) <= int(requests)
    for left in (1, 0):
        browser.click(".chip")
        browser.wait_for(f"main:not(:has(.chips li:nth-child({left + 1})))")
    browser.arrive(f"{PAGES[person]}?days=7")
    _check(browser)


def _check(browser: Browser) -> None:
    assert browser.problems() == []
    assert browser.overflow() <= 0


def test_numbers_of_the_chart_are_in_its_table(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.open("/usage/?days=7&by=request_type")
    browser.click(".numbers summary")
    head, *rows = browser.table("Totals by day")
    assert head[6:] == [f"{name}, USD" for name in browser.texts(".legend a")]
    assert len(rows) == 7
    for row in rows:
        of_layers = sum(float(amount.lstrip("$")) for amount in row[6:])
        assert of_layers == pytest.approx(float(row[3].lstrip("$")), abs=0.011)
    browser.driver.execute_script(
        "document.querySelector('.chart .day:last-of-type .hit')"
        ".dispatchEvent(new PointerEvent('pointermove', {bubbles: true, clientX: 200, clientY: 200}))"
    )
    assert rows[-1][3] in browser.one(".tip").text.splitlines()[0]
    assert browser.problems() == []


def test_day_of_the_table_narrows_the_page_to_itself(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.click(".numbers summary")
    browser.click(".numbers tbody tr:last-child a")
    browser.wait_for(".segments:not(:has([aria-current=page]))")
    assert len(browser.all(".chart .day")) == 1
    assert "from=" in browser.address


def test_two_dates_set_the_period(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    day = browser.one(".dates [name=to]").get_property("value")
    browser.driver.execute_script("document.querySelector('.dates [name=from]').value = arguments[0]", day)
    browser.click(".dates button")
    browser.arrive(f"/usage/?from={day}&to={day}")
    assert len(browser.all(".chart .day")) == 1


def test_export_has_the_numbers_of_the_page(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.open("/usage/?days=7&request_type=weekly_digest")
    text = browser.download(browser.attribute("a[download]", "href"))
    assert "weekly_digest" in text
    assert "custom_analysis" not in text
    assert "globex" not in text.lower()
    assert browser.texts(".card .total")[0] in text


def test_call_opens_its_record(browser: Browser, world: World) -> None:
    browser.log_in("member")
    browser.click("[aria-labelledby=latest] tbody a")
    browser.wait_for("#whose")
    assert browser.address.startswith("/usage/calls/")
    assert browser.texts("h1") == ["Call"]
    _check(browser)
    browser.open("/login/")
    browser.driver.delete_all_cookies()
    browser.log_in("admin")
    browser.click("[aria-labelledby=latest] tbody a")
    browser.wait_for(".unfold, #content-main, #usagerecord_form")
    assert "/superadmin/usage_billing/usagerecord/" in browser.address
    assert browser.problems() == []


def test_addresses_of_another_tenant_show_nothing(browser: Browser, world: World) -> None:
    """The superadmin sees the other tenant's page; the owner and the member do not, even by its address."""
    theirs = f"?org={world.theirs.pk}"
    browser.log_in("admin")
    browser.open(f"/superadmin/ai-costs{theirs}")
    assert "globex_secret" in browser.texts("tbody a")
    assert str(SECRET_USD) in browser.driver.page_source
    for person in ("owner", "member"):
        browser.driver.delete_all_cookies()
        browser.log_in(person)
        for address in (
            f"/usage/{theirs}",
            f"/usage/{theirs}&workflows=all&rows=all&by=org",
            "/usage/?request_type=globex_secret",
            f"/usage/calls/{world.secret.pk}",
            f"/superadmin/ai-costs{theirs}",
            f"/superadmin/usage_billing/usagerecord/{world.secret.pk}/change/",
        ):
            browser.open(address)
            source = browser.driver.page_source
            assert ("Globex" in source, str(SECRET_USD) in source) == (False, False), address
        assert str(SECRET_USD) not in browser.download(f"/usage/{theirs}&format=csv")


def test_language_and_theme_are_kept(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.open("/usage/?days=7")
    back = "return getComputedStyle(document.body).backgroundColor"
    light = browser.driver.execute_script(back)
    browser.click("#theme")
    dark = browser.driver.execute_script(back)
    browser.click("button[name=language]")
    browser.wait_for("html[lang=ru]")
    assert (browser.address, browser.attribute("html", "lang")) == ("/usage/?days=7", "ru")
    assert browser.driver.execute_script(back) == dark != light
    browser.click("#theme")
    assert browser.driver.execute_script(back) == light
    browser.driver.execute_script("localStorage.clear()")
    browser.in_theme("dark")
    browser.open("/usage/")
    assert browser.driver.execute_script(back) == dark
    assert browser.problems() == []


def test_page_works_without_scripts(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.open("/usage/?days=7")
    browser.follow("weekly_digest")
    browser.wait_for(".chip")
    assert "request_type=weekly_digest" in browser.address
    assert len(browser.all(".chart .day title")) == 7
    assert browser.all("#theme[hidden]")


@pytest.mark.parametrize(
    "address",
    [
        "/superadmin/",
        "/superadmin/usage_billing/usagerecord/",
        "/superadmin/usage_billing/usagerecord/?status__exact=failed",
        "/superadmin/usage_billing/organization/",
        "/superadmin/usage_billing/exchangerate/add/",
        "/superadmin/usage_billing/priceoverride/add/",
        "/api/docs",
    ],
)
def test_admin_and_api_page_live_with_their_policies(browser: Browser, world: World, address: str) -> None:
    browser.log_in("admin")
    browser.open(address)
    browser.wait_for(".opblock" if address == "/api/docs" else "#main, #content, main")
    assert browser.problems() == []


def test_admin_leads_to_the_page_and_back(browser: Browser, world: World) -> None:
    browser.log_in("admin", "ru")
    browser.follow(browser.texts(".bar nav a")[0])
    browser.arrive("/superadmin/")
    assert "AI Расходы" in browser.one("#nav-sidebar").text
    browser.open(f"/superadmin/usage_billing/organization/{world.ours.pk}/change/")
    browser.click(f"main a[href$='ai-costs?org={world.ours.pk}'], #content a[href$='ai-costs?org={world.ours.pk}']")
    browser.wait_for(".chip")
    assert browser.texts(".chip strong") == ["Северный ветер"]
