"""Two tenants with rows in every table that carries tenant rows, and connections as the web's own user."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection

from ai_clients.models import ContentPiece, DigestDelivery, Message, Participant
from tests import factories
from tests.factories import event
from usage_billing import ledger
from usage_billing.database.roles import WEB
from usage_billing.models import Organization, RepriceRun

Rows = list[tuple[Any, ...]]
PASSWORD = secrets.token_hex(8)


class World:
    """An owner, a member with calls of their own, and calls of nobody in each of two organisations."""

    def __init__(self) -> None:
        factories.rate()
        self.org, self.other = factories.organization("Ours"), factories.organization("Theirs")
        self.owner, self.member = factories.owner(self.org), factories.member(self.org)
        self.stranger, self.admin = factories.owner(self.other), factories.superadmin()
        for org, owner, member in (
            (self.org, self.owner, self.member),
            (self.other, self.stranger, factories.member(self.other)),
        ):
            self.fill(org, owner, member)

    def fill(self, org: Organization, owner: User, member: User) -> None:
        ledger.add(
            [
                event(org=org, user=owner, attribution={"agent_id": "a", "request_type": "x"}),
                event(org=org, user=member, attribution={"agent_id": "a", "request_type": "y"}),
                event(org=org, user=member, flavour="messages", url=factories.MESSAGES, model="claude-haiku-4-5"),
                event(org=org, model="gpt-99", attribution={"request_type": "x"}),
            ]
        )
        factories.own_price(org=org)
        RepriceRun.objects.create(
            by="somebody", reason="a test", date_from=factories.TODAY, date_to=factories.TODAY, org=org,
            started_at=factories.NOON,
        )  # fmt: skip
        ContentPiece.objects.create(org=org, title="A post", text="Words.")
        person = Participant.objects.create(org=org, external_id="1", name="Somebody")
        Message.objects.create(org=org, participant=person, chat_id="1", text="Words.", sent_at=factories.NOON)
        DigestDelivery.objects.create(org=org, week=factories.TODAY)


@pytest.fixture
def web_login(transactional_db: None) -> Iterator[dict[str, Any]]:
    """How to connect as the web's user, who logs in like one of a production server."""
    assert "test" in WEB, "These tests change the password of a role: run them by `python -m tests.postgres`."
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER ROLE {WEB} LOGIN PASSWORD '{PASSWORD}'")
    config = connection.settings_dict
    yield {
        "host": config["HOST"],
        "port": config["PORT"],
        "dbname": config["NAME"],
        "user": WEB,
        "password": PASSWORD,
    }
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER ROLE {WEB} NOLOGIN")


@pytest.fixture
def world(transactional_db: None) -> World:
    return World()


@pytest.fixture
def raw(web_login: dict[str, Any]) -> Iterator[Callable[..., Rows]]:
    """Run SQL as the web's user, each call in a transaction of its own, after statements that set its scope."""
    with psycopg.connect(**web_login) as web:

        def run(statement: str, *values: Any, scope: str = "", who: int = 0) -> Rows:
            with web.transaction(), web.cursor() as cursor:
                if scope:
                    cursor.execute(scope, [who] if who else None)
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def as_web(world: World, web_login: dict[str, Any]) -> Iterator[World]:
    """All of Django connects as the web's user, as on a production server."""
    config = connection.settings_dict
    before = {name: config[name] for name in ("USER", "PASSWORD")}
    connection.close()
    config.update(USER=WEB, PASSWORD=PASSWORD)
    yield world
    connection.close()
    config.update(before)
