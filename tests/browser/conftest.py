"""A real browser against a real server: Debian's chromium, driven by Selenium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from pytest_django.live_server_helper import LiveServer
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.support.browser import Browser
from tests.support.browser_world import World

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--lang=en",
)
_left_out: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM and DRIVER:
        return
    for item in items:
        if item.path.is_relative_to(__file__.removesuffix("/conftest.py")):
            _left_out.append(item.nodeid)
            item.add_marker(pytest.mark.skip(reason="needs chromium and chromedriver"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _left_out:
        terminalreporter.write_line(
            f"Left out: {len(_left_out)} tests in a browser. Debian: apt-get install chromium chromium-driver"
        )


@pytest.fixture(scope="session")
def driver() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.binary_location = CHROMIUM or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield chrome
    chrome.quit()


@pytest.fixture(scope="session", autouse=True)
def plain_http() -> Iterator[None]:
    """Before the server loads its middleware, which asks once."""
    with override_settings(SECURE_SSL_REDIRECT=False, SESSION_COOKIE_SECURE=False, CSRF_COOKIE_SECURE=False):
        yield


@pytest.fixture(scope="session")
def closed_connections(django_db_setup: None) -> Iterator[None]:
    """The server's threads close theirs after each request: PostgreSQL drops no database that one is open to."""
    config: dict[str, Any] = connection.settings_dict
    lasting = config["CONN_MAX_AGE"]
    config["CONN_MAX_AGE"] = 0
    yield
    config["CONN_MAX_AGE"] = lasting


@pytest.fixture
def browser(driver: webdriver.Chrome, closed_connections: None, live_server: LiveServer) -> Iterator[Browser]:
    """A browser that nobody is logged in with, on a desktop, in light."""
    fresh = Browser(driver, live_server.url)
    fresh.begin()
    yield fresh
    fresh.problems()  # emptied for the next test


@pytest.fixture
def world(live_server: LiveServer) -> World:
    return World.build()
