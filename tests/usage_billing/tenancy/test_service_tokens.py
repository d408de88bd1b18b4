"""Who sees and changes service tokens and provider keys, by row-level security, with or without our code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.test import Client

from tests.support import programs
from tests.usage_billing.tenancy.conftest import Rows, World
from usage_billing.auth import provider_keys, service_tokens
from usage_billing.auth.service_tokens import program_of
from usage_billing.models import ServiceToken
from usage_billing.tenancy.scope import scoped

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

TABLES = ("usage_service_token", "usage_service_token_change", "usage_provider_key")
NEW_TOKEN = (
    "INSERT INTO usage_service_token (org_id, name, prefix, digest, scopes, allowed_models, by, created_at)"
    " VALUES (%s, 'mine', 'aic_', md5(random()::text), '[\"read\"]', '[]', '', now())"
)
NEW_KEY = (
    "INSERT INTO usage_provider_key (org_id, provider, secret, hint, by, saved_at)"
    " VALUES (%s, 'anthropic', 'x', '', '', now())"
)


@pytest.mark.parametrize("table", TABLES)
def test_owners_see_those_of_their_organisation_and_nobody_else_any(
    world: World, raw: Callable[..., Rows], table: str
) -> None:
    seen = f"SELECT org_id FROM {table}"
    assert raw(seen, who=world.owner.pk) == [(world.org.pk,)]
    assert raw(seen, who=world.stranger.pk) == [(world.other.pk,)]
    assert raw(seen, who=world.member.pk) == raw(seen) == []


@pytest.mark.parametrize("insert", [NEW_TOKEN, NEW_KEY])
def test_nobody_makes_one_for_another_organisation_or_for_all(
    world: World, raw: Callable[..., Rows], insert: str
) -> None:
    raw(insert, world.org.pk, who=world.owner.pk)
    for who, org_id in ((world.owner, world.other.pk), (world.owner, None), (world.member, world.org.pk)):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw(insert, org_id, who=who.pk)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE usage_service_token SET revoked_at = now() RETURNING org_id",
        "DELETE FROM usage_service_token RETURNING org_id",
        "UPDATE usage_provider_key SET secret = '' RETURNING org_id",
        "DELETE FROM usage_provider_key RETURNING org_id",
    ],
)
def test_changes_reach_their_own_alone(world: World, raw: Callable[..., Rows], change: str) -> None:
    assert raw(change, who=world.member.pk) == []
    assert raw(change, who=world.owner.pk) == [(world.org.pk,)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE usage_service_token_change SET by = 'somebody else'",
        "DELETE FROM usage_service_token_change",
        "UPDATE usage_service_token SET org_id = NULL",
        "UPDATE usage_provider_key SET org_id = NULL",
    ],
)
def test_the_history_only_grows_and_none_is_given_away(world: World, raw: Callable[..., Rows], statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw(statement, who=world.owner.pk)


def test_the_web_makes_checks_and_changes_them_as_it_does_on_a_server(as_web: World) -> None:
    world = as_web
    with scoped(world.owner) as scope:
        token, text = service_tokens.create(scope=scope, by="o", name="new", org=world.org, scopes=["read"])
        provider_keys.save(scope=scope, by="o", org=world.org, provider="openai", secret="sk-own-key-0000000")
        assert {each.name for each in service_tokens.visible(scope)} == {"gateway", "new"}
    program = program_of(text)
    assert program is not None
    assert program.org_id == world.org.pk
    assert provider_keys.secret_for(world.org.pk, "openai") == "sk-own-key-0000000"
    assert provider_keys.secret_for(world.other.pk, "openai") == f"sk-{world.other.slug}"
    assert provider_keys.secret_for(None, "openai") == "sk-all"
    with scoped(world.stranger) as scope:
        assert not service_tokens.visible(scope).filter(pk=token.pk).exists()
    with scoped(world.owner) as scope:
        new, _ = service_tokens.rotate(token, scope=scope, by="o")
        service_tokens.revoke(new, scope=scope, by="o")
        (key,) = provider_keys.visible(scope)
        provider_keys.remove(key, scope=scope)
        assert {change.kind for change in service_tokens.visible_changes(scope)} == {"created", "rotated", "revoked"}
    assert provider_keys.secret_for(world.org.pk, "openai") == "sk-all"


def test_programs_read_and_owners_use_the_page_as_they_do_on_a_server(as_web: World) -> None:
    world = as_web
    with scoped(world.owner) as scope:
        _, text = service_tokens.create(scope=scope, by="o", name="new", org=world.org, scopes=["read", "budgets"])
    program: Any = programs.client(text)
    reports = "/api/billing/usage/tokens"
    assert program.get(f"{reports}/summary").json()["data"]["all_time"]["requests_count"] == 4
    assert len(b"".join(program.get(f"{reports}/export?format=jsonl")).splitlines()) == 4
    made = program.post("/api/billing/budgets", {"name": "b", "org": world.org.slug, "limit": "1"}, format="json")
    assert made.status_code == 201
    assert program.delete(f"/api/billing/budgets/{made.json()['data']['id']}").status_code == 204
    browser = Client()
    browser.force_login(world.owner)
    data = {"org": str(world.org.pk), "name": "by the page", "scopes": ["ingest"]}
    assert browser.post("/usage/tokens/new", data).status_code == 200
    assert browser.get("/usage/tokens").content.decode().count("by the page") >= 2
    boss = Client()
    boss.force_login(world.admin)
    assert boss.post("/superadmin/ai-costs/tokens/new", {**data, "org": "all"}).status_code == 200
    with scoped(world.admin):
        assert ServiceToken.objects.filter(name="by the page").count() == 2
