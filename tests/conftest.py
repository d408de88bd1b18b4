"""Gives every test a database that other processes can open, and an outbox of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.core.cache import cache
from django.db import connection, connections
from django.db.backends.signals import connection_created
from psycopg import Connection
from psycopg.pq import TransactionStatus
from pytest_django import Settings

from ai_clients.connection import with_simulator
from tests.support import statement_watch
from tests.support.configure import configure
from usage_billing.auth import provider_keys, service_tokens, token_rate
from usage_billing.ledger import drain
from usage_billing.recording import recorder
from usage_billing.recording.outbox import Outbox


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Give each worker a database. SQLite's is a file, because other processes cannot open one in memory."""
    config: dict[str, Any] = connections["default"].settings_dict
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "test.sqlite3")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, as Django does. Trio is only installed because Selenium needs it."""
    return "asyncio"


@pytest.fixture(autouse=True)
def outbox(settings: Settings, tmp_path: Path) -> Iterator[Outbox]:
    """The outbox of this test's calls, which only the test drains. Also changes settings that would hinder tests."""
    configure(settings, OUTBOX_PATH=str(tmp_path / "outbox" / "outbox"))
    configure(settings, DRAIN="off")
    # Test clients speak plain HTTP and log in without a request. The tests of these two settings turn them on.
    settings.SECURE_SSL_REDIRECT = settings.AXES_ENABLED = False
    cache.clear()
    token_rate.forget()
    service_tokens.forget()
    provider_keys.forget()
    # A secure hash takes a third of a second on purpose.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    recorder.outbox.cache_clear()
    recorder.quota.cache_clear()
    recorder._losses.clear()
    recorder._logged.clear()
    recorder._current_error = ""
    yield recorder.outbox()
    recorder.outbox().close()
    recorder.outbox.cache_clear()


@pytest.fixture
def drained(outbox: Outbox) -> Iterator[Any]:
    """Drain the outbox of this test into the ledger. Returns the number of events."""
    reader = Outbox(outbox.path)
    yield lambda: drain.drain_all(reader)
    reader.close()


@pytest.fixture
def simulated(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Let clients without options call the simulator. The returned headers go with each call and request its faults."""
    configure(settings, SIMULATOR=True)
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "ANTHROPIC_"))]:
        monkeypatch.delenv(name)
    headers: dict[str, str] = {}

    def with_headers(name: str, options: dict[str, Any]) -> dict[str, Any]:
        return {**with_simulator(name, options), "default_headers": dict(headers)}

    monkeypatch.setattr("ai_clients.openai_clients.with_simulator", with_headers)
    monkeypatch.setattr("ai_clients.anthropic_clients.with_simulator", with_headers)
    return headers


@pytest.fixture
def database_url(transactional_db: None) -> str:
    """The URL of the test database, for other processes."""
    config = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{config['NAME']}"
    return f"postgres://{config['USER']}:{config['PASSWORD']}@{config['HOST']}:{config['PORT']}/{config['NAME']}"


# ── Rules for statements ─────────────────────────────────────────────────────────────────────────────────────────────

connection_created.connect(statement_watch.watch)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Fail a test in which our code sent a statement that breaks a rule (`tests.support.statement_rules`)."""
    yield
    if broken := statement_watch.taken_notes():
        pytest.fail("\n".join(broken), pytrace=False)


# ── Time limits ──────────────────────────────────────────────────────────────────────────────────────────────────────


# Hypothesis's own limits are timed assertions: a busy machine would break them.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Close a connection that a time limit has interrupted within a query: all later tests would fail on it."""
    try:
        yield
    except BaseException:
        driver = connection.connection
        if isinstance(driver, Connection) and driver.info.transaction_status == TransactionStatus.ACTIVE:
            connection.close()
        raise


# ── Markers, limits, order ───────────────────────────────────────────────────────────────────────────────────────────

MARKED_BY_PATH = {
    "browser": ("browser/",),
    "conformance": (
        "usage_billing/api/test_conformance.py",
        "config/test_urls.py",
        "end_to_end/test_hostile_",
        "ai_clients/test_fuzz.py",
    ),
    "installation": ("installation/", "recipes/"),
    "reliability": ("reliability/", "deployment/test_slow_clients.py"),
}
USE_THE_DATABASE = {"db", "transactional_db", "django_db_setup"}
SECONDS = {"browser": 180, "conformance": 600, "installation": 900, "reliability": 300}
"""Time limits of a single test that differ from pyproject.toml's. Only tests that hang reach them."""
SOAK_SECONDS = 4 * 3600
SLOW_FIRST = (
    "reliability/",
    "deployment/test_slow_clients.py",
    "config/test_urls.py",
    "end_to_end/test_hostile_names.py",
    "usage_billing/api/test_conformance.py",
    "browser/",
)
"""The longest tests start first. Started last, they would leave the other workers idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(here).as_posix()
        names = [name for name, starts in MARKED_BY_PATH.items() if path.startswith(starts)]
        if item.get_closest_marker("django_db") or not USE_THE_DATABASE.isdisjoint(getattr(item, "fixturenames", ())):
            names.append("database")
        # These give the same result on every database, so one run is enough.
        if not {"browser", "database", "reliability"}.intersection(names) and not item.get_closest_marker("postgres"):
            names.append("unit")
        for name in names:
            item.add_marker(name)
            if name in SECONDS:
                item.add_marker(pytest.mark.timeout(SOAK_SECONDS if os.environ.get("SOAK") else SECONDS[name]))
        if connection.vendor != "postgresql" and item.get_closest_marker("postgres"):
            item.add_marker(pytest.mark.skip(reason="needs PostgreSQL"))
    items.sort(key=lambda item: not item.path.relative_to(here).as_posix().startswith(SLOW_FIRST))
