"""Browser sessions that know their person, with keys that the database does not have."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import AsyncClient, Client
from django.utils import timezone

from tests.support import factories
from usage_billing.auth.session_store import SessionStore
from usage_billing.models import Session

pytestmark = pytest.mark.django_db


def browser(name: str = "alice", agent: str = "Firefox", address: str = "192.0.2.1") -> Client:
    client = Client(headers={"user-agent": agent}, REMOTE_ADDR=address)
    assert client.post("/login/", {"username": name, "password": "secret"}).status_code == 302
    return client


def key(client: Client) -> str:
    return str(client.cookies[settings.SESSION_COOKIE_NAME].value)


def test_a_session_knows_who_uses_it_from_where_and_since_when() -> None:
    boss = factories.superadmin("boss")
    client = Client(headers={"user-agent": "Firefox" + "x" * 500}, REMOTE_ADDR="192.0.2.1")
    client.post("/login/", {"username": "boss", "password": "secret"})
    session = Session.objects.get()
    assert (session.user, session.kind, session.address) == (boss, "browser", "192.0.2.1")
    assert session.user_agent == ("Firefox" + "x" * 500)[:300]
    assert timezone.now() - session.created_at < timedelta(minutes=1)
    assert session.last_seen_at >= session.created_at


def test_the_table_opens_no_session() -> None:
    factories.user("alice")
    client = browser()
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM usage_session")
        stored = [str(value) for row in cursor.fetchall() for value in row]
    assert len(stored) > 5
    assert [value for value in stored if key(client) in value] == []
    thief = Client()
    thief.cookies[settings.SESSION_COOKIE_NAME] = Session.objects.get().session_key
    assert thief.get("/usage/").status_code == 302
    assert client.get("/usage/").status_code == 200


def test_a_key_that_somebody_planted_is_not_taken_over() -> None:
    factories.user("alice")
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = planted = "p" * 32
    client.post("/login/", {"username": "alice", "password": "secret"})
    assert key(client) != planted
    store = SessionStore(planted)
    assert (store.get("anything"), store.session_key) == (None, None)


def test_a_session_that_is_gone_is_not_brought_back() -> None:
    factories.user("alice")
    client = browser()
    Session.objects.all().delete()
    assert client.get("/usage/").status_code == 302
    assert Session.objects.filter(user__isnull=False).count() == 0


def test_last_seen_is_noted_every_few_minutes_and_the_rest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    factories.user("alice")
    client = browser()
    first = Session.objects.get()
    now = first.last_seen_at
    monkeypatch.setattr("django.utils.timezone.now", lambda: now + timedelta(minutes=4))
    client.get("/usage/", REMOTE_ADDR="192.0.2.2")
    assert Session.objects.get().last_seen_at == first.last_seen_at
    monkeypatch.setattr("django.utils.timezone.now", lambda: now + timedelta(minutes=6))
    client.get("/usage/", REMOTE_ADDR="192.0.2.2")
    then = Session.objects.get()
    assert (then.last_seen_at, then.address) == (now + timedelta(minutes=6), "192.0.2.2")
    session = client.session
    session["changed"] = "yes"
    session.save()
    saved = Session.objects.get()
    assert saved.session_data != then.session_data
    assert (saved.created_at, saved.address, saved.user_agent) == (first.created_at, "192.0.2.2", "Firefox")


def test_logging_out_ends_the_session_and_expired_ones_are_cleared() -> None:
    factories.user("alice")
    client, other = browser(), browser()
    client.post("/logout/")
    assert Session.objects.count() == 1
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert other.get("/usage/").status_code == 302
    call_command("clearsessions")
    assert Session.objects.count() == 0


def test_asynchronous_methods_hash_the_key_too() -> None:
    async def use() -> Any:
        store = SessionStore()
        await store.aset("a", 1)
        await store.asave()
        again = SessionStore(store.session_key)
        assert await again.aget("a") == 1
        assert await again.aexists(store.session_key or "") is True
        await again.acycle_key()
        assert await again.aexists(store.session_key or "") is False
        await again.aflush()
        return store.session_key

    assert async_to_sync(use)()
    assert Session.objects.count() == 0


def test_asgi_server_answers_alike() -> None:
    factories.user("alice")

    async def visit() -> Any:
        client = AsyncClient()
        await client.post("/login/", {"username": "alice", "password": "secret"})
        return await client.get("/account/")

    assert async_to_sync(visit)().status_code == 200
    assert Session.objects.get().address == "127.0.0.1"
