"""One PostgreSQL and one provider for all of these tests; an outbox, an account and an organisation for each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support import postgres
from tests.support.reliability import world
from tests.support.reliability.world import Site


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    with world.simulator() as origin:
        yield origin


@pytest.fixture(scope="session")
def production() -> Iterator[tuple[postgres.Server, str]]:
    with world.production() as made:
        yield made


@pytest.fixture
def site(production: tuple[postgres.Server, str], provider: str, tmp_path: Path) -> Iterator[Site]:
    server, database_url = production
    if not server.is_running:
        server.start_again()
    with psycopg.connect(server.url, autocommit=True) as connection:
        name = f"org-{secrets.token_hex(4)}"
        (org,) = connection.execute(
            "INSERT INTO usage_organization (name, slug, timezone, language, created_at)"
            " VALUES (%s, %s, 'Europe/Moscow', 'ru', now()) RETURNING id",
            [name, name],
        ).fetchone() or (0,)
    made = Site(server, database_url, provider, tmp_path, org)
    yield made
    made.end()
    if not server.is_running:
        server.start_again()
