"""An owner makes, rotates and revokes a service token, and saves a provider key, as people do."""

from __future__ import annotations

import pytest

from tests.support.browser import Browser
from tests.support.browser_world import World
from usage_billing.auth.service_tokens import forget, program_of

COPIED = """
    const done = arguments[arguments.length - 1];
    navigator.clipboard.writeText = async (text) => { window.copied = text; };
    document.querySelector("[data-copy]").click();
    setTimeout(() => done([window.copied, document.querySelector("[data-copy]").textContent.trim()]), 100);
"""


@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_a_token_from_its_making_to_its_end(browser: Browser, world: World, device: str) -> None:
    browser.on(device)
    browser.log_in("owner")
    browser.open("/usage/tokens")
    browser.follow("New token")
    browser.wait_for("form.long-form")
    browser.one("[name=name]").send_keys("gateway")
    for scope in ("ingest", "proxy", "read"):
        browser.click(f"[name=scopes][value={scope}]")
    browser.one("[name=days]").send_keys("30")
    browser.click("form.long-form button[type=submit]")
    browser.wait_for("#token")
    _check(browser)
    token = browser.attribute("#token", "value")
    program = program_of(token)
    assert program is not None
    assert (program.org_id, program.scopes) == (world.ours.pk, frozenset({"ingest", "proxy", "read"}))
    assert len(browser.all("main pre")) == 3
    assert browser.driver.execute_async_script(COPIED) == [token, "Copied"]
    browser.follow("I have copied it")
    browser.wait_for("#tokens")
    assert token not in browser.driver.page_source
    browser.click(f"a[href='/usage/tokens/{program.token_id}/rotate']")
    browser.wait_for("[name=overlap][value='1']")
    browser.click("[name=overlap][value='1']")
    browser.click("form.long-form button[type=submit]")
    browser.wait_for("#token")
    assert browser.attribute("#token", "value") != token
    browser.open("/usage/tokens")
    browser.click(f"a[href='/usage/tokens/{program.token_id}/revoke']")
    browser.wait_for("form.form-foot")
    browser.click("form.form-foot button[type=submit]")
    browser.wait_for(".notice[role=status]")
    _check(browser)
    forget()
    assert program_of(token) is None


def test_a_provider_key_is_saved_and_not_shown(browser: Browser, world: World) -> None:
    browser.log_in("owner")
    browser.open("/usage/tokens/keys/new")
    browser.choose("provider", "anthropic")
    browser.one("[name=secret]").send_keys("sk-ant-0123456789abcdef")
    browser.click("form.long-form button[type=submit]")
    browser.wait_for(".notice[role=status]")
    assert "…cdef" in browser.one("main").text
    assert "0123456789" not in browser.driver.page_source
    _check(browser)


def _check(browser: Browser) -> None:
    assert browser.problems() == []
    assert browser.faults() == []
    assert browser.overflow() <= 0, browser.address
