"""What a phone shows of the tables: the chosen metric, the change, and an order that can be changed."""

from __future__ import annotations

import pytest

from tests.support.browser import Browser
from tests.support.browser_world import World
from usage_billing.pages.explore_metrics import METRICS

EXPLORE = "/superadmin/ai-costs/explore"
IN_VIEW = """
    return [...document.querySelectorAll(arguments[0])].filter((each) => {
        const box = each.getBoundingClientRect();
        return box.width > 0 && box.left >= 0 && box.right <= innerWidth;
    }).length
"""


@pytest.fixture
def phone(browser: Browser, world: World) -> Browser:
    browser.on("phone")
    browser.log_in("admin")
    return browser


def test_explore_shows_the_chosen_metric_of_each_row(phone: Browser) -> None:
    for metric in METRICS:
        phone.open(f"{EXPLORE}?metric={metric.name}&group=ai_model&then=org")
        rows = len(phone.all(".explore tbody tr"))
        assert rows > 1
        shown = phone.driver.execute_script(IN_VIEW, f".explore tbody td.col-{metric.name}")
        assert (metric.name, shown) == (metric.name, rows)
        assert phone.driver.execute_script(IN_VIEW, ".explore tbody td.col-cost") == rows
        assert phone.overflow() <= 0


def test_explore_is_sorted_by_a_menu(phone: Browser) -> None:
    phone.open(f"{EXPLORE}?group=ai_model")
    assert "USD" in phone.one(".sort-menu summary").text
    phone.click(".sort-menu summary")
    phone.follow("Model")
    phone.arrive(f"{EXPLORE}?group=ai_model&sort=name")
    names = [name.text for name in phone.all(".explore tbody tr:not(.rest, .sum) th")]
    assert len(names) > 1
    assert names == sorted(names, key=str.casefold)
    phone.on("desktop")
    phone.open(f"{EXPLORE}?group=ai_model")
    assert not phone.one(".sort-menu").is_displayed()
    assert phone.one(".explore thead a").is_displayed()


def test_explore_scrolls_within_its_table_where_it_has_no_room(phone: Browser) -> None:
    phone.on("desktop")
    phone.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 720, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    phone.open(f"{EXPLORE}?group=ai_model&then=org&metric=average_time")
    assert phone.overflow() <= 0
    assert (
        phone.driver.execute_script(
            "const e = document.querySelector('.explore').closest('.panel');return e.scrollWidth - e.clientWidth"
        )
        <= 0
    )


def test_overview_shows_the_change_of_each_row(phone: Browser) -> None:
    phone.open("/superadmin/ai-costs")
    rows = len(phone.all(".breakdown tbody tr:not(.rest)"))
    assert rows > 4
    assert phone.driver.execute_script(IN_VIEW, ".breakdown tbody td.change-of") == rows
    assert phone.driver.execute_script(IN_VIEW, ".breakdown tbody tr:not(.rest) td.amount") == rows
