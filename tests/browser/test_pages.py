"""The pages as three people use them, in both languages, on a phone and on a desktop."""

from __future__ import annotations

import re
from decimal import Decimal
from html import unescape

import pytest

from tests.support.browser import Browser
from tests.support.browser_world import SECRET_USD, World

BASES = {"admin": "/superadmin/ai-costs", "owner": "/usage", "member": "/usage"}
TITLES = {
    "en": ["Overview", "Explore", "Calls", "Insights", "Budgets", "Alerts"],
    "ru": ["Обзор", "Анализ", "Вызовы", "Наблюдения", "Бюджеты", "Оповещения"],
}
BELOW = ["", "/explore", "/calls", "/insights", "/budgets", "/alerts"]
FORMS = {
    "member": ["/budgets/{budget}", "/budgets/{budget}/ask"],
    "owner": [
        "/budgets/{budget}", "/budgets/new", "/budgets/{budget}/edit", "/budgets/{budget}/delete", "/alerts/rules/new",
        "/alerts/rules/new?kind=errors", "/alerts/rules/{rule}", "/alerts/channels/new",
        "/alerts/channels/new?kind=telegram", "/alerts/channels/{channel}/delete",
        "/tokens", "/tokens/new", "/tokens/{token}/rotate", "/tokens/{token}/revoke", "/tokens/keys/new",
        "/tokens/keys/{key}/remove",
    ],
    "admin": [
        "/budgets?org={org}", "/budgets/new", "/budgets/{budget}", "/alerts?org={org}", "/alerts/rules/new",
        "/alerts/channels/new?kind=webhook&org=installation", "/tokens", "/tokens?org={org}", "/tokens/new",
    ],
}  # fmt: skip
"""Further pages of budgets, alerts and service tokens that each person opens."""


def address_of(person: str, below: str) -> str:
    return BASES[person] + (below or ("" if person == "admin" else "/"))


@pytest.mark.parametrize("device", ["desktop", "phone"])
@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("person", ["admin", "owner", "member"])
def test_every_page(browser: Browser, world: World, person: str, language: str, device: str) -> None:
    browser.on(device)
    browser.log_in(person, language)
    browser.arrive(address_of(person, ""))
    for below, title in zip(BELOW, TITLES[language], strict=True):
        browser.open(address_of(person, below))
        assert browser.attribute("html", "lang") == language
        assert browser.texts("h1") == [title]
        if below in ("", "/calls"):
            assert ("globex_secret" in browser.driver.page_source) is (person == "admin")
        _check(browser)
        browser.photograph(f"{title}-{person}-{language}-{device}")
    browser.open(address_of(person, ""))
    browser.click("table.calls tbody a")
    browser.wait_for("dialog.sheet #call")
    _check(browser)
    further = [f"{BASES[person]}{below.format(**world.ids)}" for below in FORMS[person]]
    for address in ("/account/", f"{BASES[person]}/views", *further):
        browser.open(address)
        assert browser.all("main h1"), address
        _check(browser)


def _check(browser: Browser) -> None:
    assert browser.problems() == []
    assert browser.overflow() <= 0, browser.address


# ── Each number leads to its calls ───────────────────────────────────────────────────────────────────────────────

NUMBERS = """
    const exact = (each) => each.querySelector("[title]")?.title || each.title || each.textContent.trim();
    const found = [];
    const add = (kind, link, text) => found.push([kind, link.getAttribute("href"), text]);
    for (const card of document.querySelectorAll(".card")) {
        add(card.id.replace("card-", ""), card.querySelector(".total a"), exact(card.querySelector(".total a")));
        for (const link of card.querySelectorAll(".note a:not(.change)")) {
            add("requests_count", link, link.textContent);
        }
    }
    for (const cell of document.querySelectorAll(".half td.number:not(.change-of):has(a)")) {
        const kind = cell.querySelector("b") ? arguments[0] : "requests_count";
        add(kind, cell.querySelector("a"), exact(cell.querySelector("a")));
    }
    for (const action of document.querySelectorAll(".action:is(.failed, .unpriced)")) {
        add("requests_count", action, action.querySelector(".badge").textContent);
    }
    return found;
"""
SUMMARY = {"requests_count": "requests", "total_tokens": "tokens", "cost_usd": "usd", "cost_rub": "rub"}


@pytest.mark.parametrize("currency", ["usd", "rub"])
@pytest.mark.parametrize("person", ["admin", "owner", "member"])
def test_each_number_of_the_overview_leads_to_calls_with_that_sum(
    browser: Browser, world: World, person: str, currency: str
) -> None:
    browser.log_in(person)
    browser.open(f"{address_of(person, '')}?days=90&currency={currency}")
    numbers = browser.driver.execute_script(NUMBERS, f"cost_{currency}")
    assert len(numbers) > 20
    wrong = [
        (kind, link, text, summed)
        for kind, link, text in numbers
        if (summed := _summary(browser, link)[SUMMARY[kind]]) != _number(text)
    ]
    assert wrong == []


def test_each_day_of_the_chart_leads_to_its_calls(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    page = browser.download("/usage/?days=30")
    days = re.findall(r'<a href="([^"]+)" tabindex="-1"><svg class="step"[^>]*><title>([^<\n]+)', page)
    assert len(days) == 30
    for link, title in days:
        day, _, amount = title.partition(": ")
        assert round(_summary(browser, unescape(link))["usd"], 2) == round(_number(amount), 2), day


def _summary(browser: Browser, link: str) -> dict[str, Decimal]:
    """The sums that the Calls page at this address shows."""
    assert "/calls?" in link, link
    (shown,) = re.findall(r'<dl class="summary"([^>]*)>', browser.download(link))
    return {name: Decimal(value or 0) for name, value in re.findall(r'data-([a-z-]+)="([^"]*)"', shown)}


def _number(text: str) -> Decimal:
    found = re.search(r"[\d,]+(\.\d+)?", text)
    return Decimal(found[0].replace(",", "")) if found else Decimal(0)


def test_part_of_a_bar_leads_to_its_calls_alone(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.open("/usage/?days=7")
    part = browser.one("path.layer[data-narrowing]")
    narrowing = part.get_attribute("data-narrowing") or ""
    x, y = browser.driver.execute_script(
        "const box = arguments[0].getBoundingClientRect();"
        "for (let y = box.bottom - 2; y > box.top; y -= 2) for (let x = box.left + 2; x < box.right; x += 4) {"
        "  const at = document.elementsFromPoint(x, y).find((each) => each.dataset?.narrowing);"
        "  if (at === arguments[0]) return [x, y];"
        "} return [0, 0]",
        part,
    )
    browser.driver.execute_script(
        "document.elementFromPoint(...arguments).dispatchEvent("
        "new MouseEvent('click', {bubbles: true, cancelable: true, clientX: arguments[0], clientY: arguments[1]}))",
        x,
        y,
    )
    browser.wait_for("dl.summary")
    assert browser.address.endswith(narrowing)
    assert browser.address.startswith("/usage/calls?from=")


# ── Filters, dates, currency ─────────────────────────────────────────────────────────────────────────────────────


def test_filters_are_set_in_the_sheet_and_taken_away(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.open("/usage/calls?days=7")
    before = int(browser.attribute("dl.summary", "data-requests"))
    browser.click("a.chip[data-sheet]")
    browser.wait_for("dialog.sheet [name=request_type]")
    browser.click("dialog.sheet [name='request_type!'][value=weekly_digest]")
    browser.click("dialog.sheet [name=agent_id][value=legal_guard]")
    browser.click("dialog.sheet button[type=submit]")
    browser.wait_for("a.chip:not(.add) b")
    assert browser.address == "/usage/calls?days=7&request_type%21=weekly_digest&agent_id=legal_guard"
    assert sorted(browser.texts("a.chip:not(.add) b")) == ["legal_guard", "weekly_digest"]
    assert 0 < int(browser.attribute("dl.summary", "data-requests")) < before
    while browser.all("a.chip:not(.add)"):
        browser.click("a.chip:not(.add)")
    browser.arrive("/usage/calls?days=7")
    assert int(browser.attribute("dl.summary", "data-requests")) == before
    assert browser.problems() == []


def test_two_dates_set_the_period(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.click(".segments .popover > summary")
    day = browser.one("[name=to]").get_property("value")
    browser.driver.execute_script("document.querySelector('[name=from]').value = arguments[0]", day)
    browser.click(".segments .popover button")
    browser.arrive(f"/usage/?from={day}&to={day}")
    assert len(browser.all(".chart .step")) == 1


def test_currency_holds_on_every_page(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.follow("RUB")
    browser.arrive("/usage/?currency=rub")
    for link, shown in (("All calls →", "RUB"), ("Overview", "")):
        browser.follow(link)
        browser.wait_for("h1")
        if shown:
            assert browser.texts(".segments [aria-current]")[-1] == shown


def test_without_scripts_every_page_answers(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.open("/usage/?days=7")
    assert len(browser.all(".chart .step title")) == 7
    assert browser.all("#theme[hidden]")
    browser.follow("weekly_digest")
    browser.wait_for("a.chip:not(.add) b")
    assert "request_type=weekly_digest" in browser.address
    browser.click("a.chip[data-sheet]")
    browser.wait_for("#filters form")
    browser.click("#filters [name=agent_id]")
    browser.click("#filters button[type=submit]")
    browser.wait_for("a.chip:not(.add) + a.chip:not(.add)")
    browser.click("table.calls tbody a")
    browser.wait_for("main #call")
    for below in BELOW[1:]:
        browser.open(f"/usage{below}")
        assert browser.texts("h1")


# ── Budgets ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_budget_has_spent_leads_to_its_calls(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    page = browser.download("/usage/budgets")
    spent = re.findall(r'<dt>Spent</dt><dd><a href="([^"]+)"><span class="costs-amount" title="([^"]+)"', page)
    assert len(spent) == 5  # one of them is inactive
    for link, amount in spent:
        summed = _summary(browser, unescape(link))
        kind = (
            "usd" if "$" in amount else "rub" if "₽" in amount else "tokens" if _number(amount) > 1000 else "requests"
        )
        assert summed[kind] == _number(amount), link


def test_without_scripts_a_budget_is_set_changed_and_deleted(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.open("/usage/budgets")
    browser.follow("New budget")
    browser.wait_for("[name=limit]")
    browser.one("[name=name]").send_keys("Only the guard")
    browser.one("[name=limit]").send_keys("1,500.50")
    browser.click("[name=mode][value=downgrade]")
    browser.one("[name=replacement]").send_keys("openai:gpt-4.1-mini")
    browser.click(".more summary")
    browser.one("[name=agent_id]").send_keys("legal_guard")
    browser.click("button.primary")
    browser.wait_for(".notice")
    assert "Only the guard" in browser.texts("h1")[0]
    assert "$1,500.50" in browser.texts(".budget-limit")[0]
    browser.follow("Edit")
    browser.wait_for("[name=limit]")
    assert browser.one("[name=agent_id]").get_property("value") == "legal_guard"
    limit = browser.one("[name=limit]")
    limit.clear()
    limit.send_keys("0")
    browser.click("button.primary")
    browser.wait_for(".alarm-text")
    limit = browser.one("[name=limit]")
    limit.clear()
    limit.send_keys("20")
    browser.click("button.primary")
    browser.wait_for(".changes")
    assert "$1,500.50 → $20.00" in browser.texts(".changes li")[0]
    browser.follow("Delete")
    browser.wait_for("main form button")
    browser.click("main form button")
    browser.arrive("/usage/budgets")
    assert "Only the guard" not in browser.texts(".budget-head h3")


def test_member_asks_and_the_owner_grants(browser: Browser, world: World) -> None:
    browser.on("phone")
    browser.log_in("member")
    browser.open(f"/usage/budgets/{world.ids['budget']}")
    assert "Spent" not in browser.driver.page_source
    browser.driver.delete_all_cookies()
    browser.log_in("owner")
    browser.open("/usage/budgets")
    browser.click(".budget-request button[value=grant]")
    browser.wait_for(".changes")
    assert "→ $60.00" in browser.texts(".changes li")[0]
    assert browser.problems() == []


# ── Saved views ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_saved_view_survives_and_a_superadmins_never_opens_to_an_owner(browser: Browser, world: World) -> None:
    browser.log_in("admin")
    browser.open("/superadmin/ai-costs/explore?days=7&group=org&metric=requests")
    _save(browser, "By organisation")
    browser.open("/superadmin/ai-costs")
    browser.click("details.popover:has([name=query]) > summary")
    browser.follow("By organisation")
    browser.wait_for("h1")
    theirs = browser.address
    assert "group=org" in theirs
    view = browser.attribute("details.popover a[aria-current]", "href").removeprefix(browser.server)
    browser.driver.delete_all_cookies()
    browser.log_in("owner")
    browser.open("/usage/explore?days=7&group=agent_id")
    assert "By organisation" not in browser.driver.page_source
    _save(browser, "By agent")
    for address in ("/usage/views", "/superadmin/ai-costs/views", view):
        browser.open(address)
        assert "By organisation" not in browser.driver.page_source
        assert "Globex" not in browser.driver.page_source
    browser.driver.delete_all_cookies()
    browser.log_in("owner")
    browser.click("details.popover:has([name=query]) > summary")
    browser.follow("By agent")
    browser.wait_for("h1")
    assert browser.address.startswith("/usage/explore?")
    assert {"days=7", "group=agent_id"} <= {*browser.address.partition("?")[2].split("&")}


def _save(browser: Browser, name: str) -> None:
    browser.click("details.popover:has([name=query]) > summary")
    browser.one(".popover-body [name=name]").send_keys(name)
    browser.click("form:has(> [name=query]) button[type=submit]")
    browser.wait_for(".notice[role=status]")


# ── Others' data, language and theme, the admin ──────────────────────────────────────────────────────────────────


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
            f"/usage/explore{theirs}&group=org",
            f"/usage/calls{theirs}",
            f"/usage/insights{theirs}",
            "/usage/?request_type=globex_secret",
            f"/usage/calls/{world.secret.pk}",
            f"/usage/calls?q={world.secret.request_id}",
            f"/superadmin/ai-costs{theirs}",
            f"/superadmin/ai-costs/calls/{world.secret.pk}",
            f"/superadmin/usage_billing/usagerecord/{world.secret.pk}/change/",
        ):
            browser.open(address)
            source = browser.driver.page_source
            assert ("Globex" in source, str(SECRET_USD) in source) == (False, False), address
        assert str(SECRET_USD) not in browser.download(f"/usage/explore{theirs}&format=csv")


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


@pytest.mark.parametrize(
    "address",
    [
        "/superadmin/",
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


@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_one_sidebar_leads_through_pages_and_admin(browser: Browser, world: World, device: str) -> None:
    browser.on(device)
    browser.log_in("admin", "ru")
    for link, heading in (("Организации", None), ("Обзор", "Обзор"), ("Наблюдения", "Наблюдения")):
        if device == "phone":
            browser.click(".shell-menu")
            browser.wait_for(".sidebar:target")
        assert "AI Расходы" in browser.one(".sidebar").text
        browser.follow(link)
        browser.wait_for("h1")
        if heading:
            assert browser.texts("h1") == [heading]
        assert browser.problems() == []
    browser.open(f"/superadmin/usage_billing/organization/{world.ours.pk}/change/")
    browser.click(f"#content a.ub-button[href$='?org={world.ours.pk}']")
    browser.wait_for("a.chip:not(.add) b")
    assert browser.texts("a.chip:not(.add) b") == ["Северный ветер"]
