"""Two tenants with rows in every table that carries tenant rows, and connections as the web's user."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection

from ai_clients.assistants.models import ContentPiece, DigestDelivery, DigestSubscription, Message, Participant
from tests.support import budgets, factories
from tests.support.factories import event
from usage_billing.archive import usage_sums
from usage_billing.ledger import writer
from usage_billing.models import (
    AlertChannel,
    AlertDelivery,
    AlertFiring,
    AlertRoute,
    AlertRule,
    ArchiveFile,
    BudgetChange,
    BudgetLease,
    BudgetLock,
    DeletedUser,
    Organization,
    ProviderKey,
    ReportedCall,
    RepriceRun,
    SavedView,
    ServiceToken,
    ServiceTokenChange,
    SettledHold,
    UsageRecord,
)
from usage_billing.models.archive_file import SUMS
from usage_billing.tenancy import seal
from usage_billing.tenancy.roles import DRAIN, WEB

Rows = list[tuple[Any, ...]]
PASSWORD = secrets.token_hex(8)


class World:
    """Two organisations, each with an owner, a member with their own calls, and a call without a user."""

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
        self.let_programs_in(None)

    def fill(self, org: Organization, owner: User, member: User) -> None:
        writer.add(
            [
                event(org=org, user=owner, attribution={"agent_id": "a", "request_type": "x", "tags": {"env": "prod"}}),
                event(
                    org=org, user=member, attribution={"agent_id": "a", "request_type": "y", "tags": {"env": "test"}}
                ),
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
        DigestSubscription.objects.create(org=org, user=owner)
        archived = ArchiveFile.objects.create(
            month=date(2020, 1, 1), part=org.pk, path=f"{org.pk}.parquet", size=1, sha256="", by="somebody",
            archived_at=factories.NOON, **dict.fromkeys(SUMS, 0),
        )  # fmt: skip
        calls = UsageRecord.objects.filter(org=org, user=member)
        usage_sums.add_calls(archived, list(calls.values_list("pk", flat=True)[:1]))
        DeletedUser.objects.create(org=org, user=member, name="somebody")
        for user, name, is_shared in ((owner, "shared", True), (owner, "private", False), (member, "own", False)):
            SavedView.objects.create(org=org, user=user, name=name, page="explore", is_shared=is_shared)
        self.set_budgets(org, owner, member)
        self.let_programs_in(org)
        ReportedCall.objects.create(org_id=org.pk, request_id="reported")

    def let_programs_in(self, org: Organization | None) -> None:
        """A service token with its history, and a provider key."""
        token = ServiceToken.objects.create(org=org, name="gateway", digest=secrets.token_hex(32), scopes=["ingest"])
        ServiceTokenChange.objects.create(org=org, token=token, token_name="gateway", kind="created", by="somebody")
        ProviderKey.objects.create(org=org, provider="openai", secret=f"sk-{'all' if org is None else org.slug}")

    def set_budgets(self, org: Organization, owner: User, member: User) -> None:
        """A budget of everybody, one of each person and a superadmin's, and an alert that was delivered."""
        everybody = budgets.budget(org, name="everybody's")
        for person, name in ((owner, "the owner's"), (member, "the member's")):
            budgets.request(budgets.budget(org, name=name, user_id=person.pk), person)
        budgets.budget(org, name="a superadmin's", is_superadmins=True)
        BudgetLock.objects.create(org=org, budget=everybody)
        lease = BudgetLease.objects.create(
            org=org, budget=everybody, first_day=factories.TODAY, granted=5, holder="x", expires_at=factories.NOON
        )
        SettledHold.objects.create(org=org, lease=lease, number=1, amount=1)
        BudgetChange.objects.create(org=org, budget=everybody, budget_name="everybody's", by="somebody")
        channel = AlertChannel.objects.create(org=org, name="mail", kind="email", target="a@example.com")
        rule = AlertRule.objects.create(org=org, name="errors", kind="errors", bound=5)
        AlertRoute.objects.create(org=org, rule=rule, channel=channel)
        firing = AlertFiring.objects.create(org=org, rule=rule, key="", bound=5)
        AlertDelivery.objects.create(org=org, firing=firing, channel=channel, event="firing")


@pytest.fixture
def tables_owner(transactional_db: None) -> Iterator[psycopg.Connection]:
    """A connection as the tables' owner, even while Django connects as another user."""
    with psycopg.connect(**_login(), autocommit=True) as owner:
        yield owner


def _login(user: str = "", password: str = "") -> dict[str, Any]:
    config = connection.settings_dict
    return {
        "host": config["HOST"],
        "port": config["PORT"],
        "dbname": config["NAME"],
        "user": user or config["USER"],
        "password": password or config["PASSWORD"],
    }


@contextmanager
def _able_to_log_in(role: str, owner: psycopg.Connection) -> Iterator[dict[str, Any]]:
    assert "test" in role, (
        "These tests change the password of a role. Run them with `python -m tests.support.postgres`."
    )
    owner.execute(f"ALTER ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    yield _login(role, PASSWORD)
    owner.execute(f"ALTER ROLE {role} NOLOGIN")
    owner.execute(f"ALTER ROLE {role} RESET ALL")


@contextmanager
def connecting_as(role: str) -> Iterator[None]:
    """Let Django connect as that user."""
    config = connection.settings_dict
    before = {name: config[name] for name in ("USER", "PASSWORD")}
    connection.close()
    config.update(USER=role, PASSWORD=PASSWORD)
    yield
    connection.close()
    config.update(before)


@pytest.fixture
def web_login(tables_owner: psycopg.Connection) -> Iterator[dict[str, Any]]:
    """Connection parameters of the web's user, who logs in as on a production server."""
    with _able_to_log_in(WEB, tables_owner) as login:
        yield login


@pytest.fixture
def world(transactional_db: None) -> World:
    return World()


@pytest.fixture
def raw(web_login: dict[str, Any]) -> Iterator[Callable[..., Rows]]:
    """Run SQL as the web's user, each call in its own transaction, in the scope of the user `who` if given."""
    with psycopg.connect(**web_login) as web:

        def run(statement: str, *values: Any, who: int = 0) -> Rows:
            with web.transaction(), web.cursor() as cursor:
                if who:
                    until = seal.until(time.time())
                    cursor.execute("SELECT usage_enter_scope(%s, %s, %s)", [who, until, seal.proof(who, until)])
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def as_web(world: World, web_login: dict[str, Any]) -> Iterator[World]:
    """Let Django connect as the web's user, as on a production server."""
    with connecting_as(WEB):
        yield world


@pytest.fixture
def as_drain(world: World, tables_owner: psycopg.Connection) -> Iterator[World]:
    """Let Django connect as the drain's user, as the drain and the jobs of a production server do."""
    with _able_to_log_in(DRAIN, tables_owner), connecting_as(DRAIN):
        yield world
