"""Programs with service tokens read what owners read, and no more than their scopes say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.support import programs
from tests.support.api_world import BILLING, REPORTS, World
from tests.support.configure import configure
from usage_billing.api.export import ExportStoppedError
from usage_billing.auth import service_tokens
from usage_billing.models import AlertChannel, AlertRule, Budget, BudgetChange, BudgetRequest, Organization
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db

BUDGETS, REQUESTS, ALERTS = "/api/billing/budgets", "/api/billing/budget-requests", "/api/billing/alerts"


@pytest.fixture
def world() -> World:
    world = World(timezone.now())
    for org in world.orgs.values():
        budget = Budget.objects.create(org=org, name=f"{org.name}-budget", limit=Decimal(5), starts_on="2026-11-01")
        BudgetChange.objects.create(org=org, budget=budget, budget_name=budget.name, by="x", fields={})
        person = world.people["member"]
        BudgetRequest.objects.create(org=org, budget=budget, user=person, limit=Decimal(9), reason=f"{org.name}-why")
        channel = AlertChannel.objects.create(
            org=org, name=f"{org.name}-channel", kind="slack", target="https://example.com"
        )
        AlertRule.objects.create(org=org, name=f"{org.name}-rule", kind="errors", bound=5).channels.set(
            [channel], through_defaults={"org": org}
        )
    return world


def addresses() -> Iterator[str]:
    yield from (f"{BILLING}/{report}" for report in REPORTS)
    yield f"{BILLING}/by-tag?key=feature"
    yield f"{BILLING}/export?format=jsonl"
    yield from (BUDGETS, REQUESTS, f"{ALERTS}/channels", f"{ALERTS}/rules", f"{ALERTS}/firings")
    for path, model in (
        (f"{BILLING}/detailed", "UsageRecord"), (BUDGETS, "Budget"), (REQUESTS, "BudgetRequest"),
        (f"{ALERTS}/channels", "AlertChannel"), (f"{ALERTS}/rules", "AlertRule"),
    ):  # fmt: skip
        for pk in apps.get_model("usage_billing", model).objects.values_list("pk", flat=True)[:70:10]:
            yield f"{path}/{pk}"
    yield from (f"{BUDGETS}/{pk}/history" for pk in Budget.objects.values_list("pk", flat=True))


def answered(client: APIClient, address: str) -> tuple[int, bytes]:
    answer = client.get(address)
    return answer.status_code, b"".join(answer) if answer.streaming else answer.content


@pytest.mark.parametrize(("person", "org"), [("owner", "red"), ("superadmin", None)])
def test_a_program_reads_exactly_what_the_owner_or_a_superadmin_reads(
    world: World, person: str, org: str | None
) -> None:
    _, text = programs.token(world.orgs[org] if org else None, "read")
    program, human = programs.client(text), world.client(person)
    human.credentials(HTTP_ACCEPT_LANGUAGE="en")
    found = {address: answered(program, address) for address in addresses()}
    assert found == {address: answered(human, address) for address in addresses()}
    assert {status for status, _ in found.values()} == ({200} if org is None else {200, 403, 404})
    everything = b"".join(content for _, content in found.values())
    assert b"red-agent" in everything
    assert (b"green-agent" in everything) == (b"green-org-budget" in everything) == (org is None)


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_each_address_takes_the_scopes_that_it_names(world: World, method: str) -> None:
    opens = {
        "read": {f"{BILLING}/summary", f"{BILLING}/export", BUDGETS, REQUESTS, f"{ALERTS}/rules"},
        "budgets": {BUDGETS, REQUESTS},
        "ingest": set[str](),
        "proxy": set[str](),
    }
    others = {"/api/billing/service-tokens", "/api/billing/provider-keys"}
    for scope, expected in opens.items():
        client = programs.client(programs.token(world.orgs["red"], scope)[1])
        found = {address for address in opens["read"] | others if getattr(client, method)(address).status_code == 200}
        assert found == expected


def test_a_refusal_says_which_scope_is_needed(world: World) -> None:
    red = world.orgs["red"]
    budget = Budget.objects.get(org=red)
    reader = programs.client(programs.token(red, "read", "ingest")[1])
    for answer, needed in (
        (reader.post(BUDGETS, {}, format="json"), "This needs a service token with the scope budgets."),
        (reader.delete(f"{BUDGETS}/{budget.pk}"), "This needs a service token with the scope budgets."),
        (
            programs.client(programs.token(red, "ingest")[1]).get(BUDGETS),
            "This needs a service token with the scope read / budgets.",
        ),
        (
            reader.post(f"{ALERTS}/channels", {}, format="json"),
            "This address is for people: log in, a service token does not open it.",
        ),
    ):
        assert (answer.status_code, answer.json()["error"]["message"]) == (403, needed)


def test_a_program_sets_budgets_and_is_named_in_their_history(world: World) -> None:
    red = world.orgs["red"]
    client = programs.client(programs.token(red, "budgets", name="red-owner")[1])
    body = {"name": "By a program", "org": red.slug, "limit": "10"}
    created = client.post(BUDGETS, body, format="json")
    assert created.status_code == 201
    assert created.json()["data"]["is_superadmins"] is False
    address = f"{BUDGETS}/{created.json()['data']['id']}"
    assert client.patch(address, {"limit": "12"}, format="json").status_code == 200
    assert client.delete(address).status_code == 204
    history = client.get(f"{address}/history").json()["data"]["items"]
    # A token that is named as a person is still told from them.
    assert [(item["action"], item["by"]) for item in history] == [
        (action, "token:red-owner") for action in ("deleted", "changed", "created")
    ]
    foreign = Budget.objects.get(org=world.orgs["green"])
    assert client.patch(f"{BUDGETS}/{foreign.pk}", {"limit": "1"}, format="json").status_code == 404
    elsewhere = client.post(BUDGETS, body | {"org": world.orgs["green"].slug}, format="json")
    assert (elsewhere.status_code, list(elsewhere.json()["error"]["details"])) == (400, ["org"])


def test_a_program_answers_requests_and_asks_for_nothing_itself(world: World) -> None:
    red = world.orgs["red"]
    client = programs.client(programs.token(red, "budgets")[1])
    asked = BudgetRequest.objects.get(org=red)
    answer = client.patch(f"{REQUESTS}/{asked.pk}", {"state": "granted"}, format="json")
    assert (answer.status_code, answer.json()["data"]["answered_by"]) == (200, "token:gateway")
    Budget.objects.filter(org=red).update(is_superadmins=True)
    body = {"budget": asked.budget_id, "limit": "90"}
    refused = client.post(REQUESTS, body, format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_a_person")
    client = programs.client(programs.token(None, "budgets")[1])
    assert client.post(REQUESTS, body, format="json").json()["error"]["code"] == "may_change_it"


def test_a_token_that_is_not_good_is_answered_401(world: World) -> None:
    red, green = world.orgs["red"], world.orgs["green"]
    revoked, text = programs.token(red)
    service_tokens.revoke(revoked, scope=EVERYTHING, by="boss")
    expired, expired_text = programs.token(red, expires_at=timezone.now() + timedelta(hours=1))
    type(expired).objects.update(expires_at=timezone.now())
    _, closed = programs.token(green)
    Organization.objects.filter(pk=green.pk).update(closed_at=timezone.now())
    for each in (text, expired_text, closed, "aic_unknown", "aic_" + "x" * 10_000, "aic_\xff"):
        answer = programs.client(each).get(f"{BILLING}/summary")
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
        assert answer.json()["error"] == {
            "code": "service_token_not_valid",
            "message": "The service token is not known, has expired or was revoked.",
            "details": {},
        }


def test_addresses_of_people_and_of_everybody_do_not_mind_a_token(world: World) -> None:
    client = programs.client(programs.token()[1])
    assert {path: client.get(path).status_code for path in ("/api/schema", "/api/docs")} == {
        "/api/schema": 200, "/api/docs": 200,
    }  # fmt: skip
    for path in ("/api/agents/legal_guard/run", "/api/custom-analysis", "/api/participants/1/enrich-ai"):
        assert client.post(path, {}, format="json").status_code == 403, path
    # Cron has a secret of its own, and the log-in asks for a password.
    assert client.post("/api/cron/send-weekly-digests", {}, format="json").status_code == 401
    assert client.get("/usage/tokens").status_code == 302


def test_a_session_beside_a_token_counts_for_nothing(world: World) -> None:
    client = programs.client("aic_unknown")
    client.force_login(world.people["superadmin"])
    assert client.get(f"{BILLING}/summary").status_code == 401


def test_tokens_have_a_rate_of_their_own(world: World, settings: Settings) -> None:
    configure(settings, API_RATE_TOKEN="2/day", API_RATE_USER="1/day", API_RATE_ANONYMOUS="1/day")
    client = programs.client(programs.token()[1])
    answers = [client.get(f"{BILLING}/summary") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    seconds = int(answers[2]["Retry-After"])
    assert answers[2].json()["error"]["details"] == {"retry_after_s": seconds}
    assert 0 < seconds <= 86_400
    assert programs.client(programs.token()[1]).get(f"{BILLING}/summary").status_code == 200


def test_an_export_ends_with_its_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_billing.api.export.BATCH_SIZE", 5)
    token, text = programs.token()
    chunks = iter(programs.client(text).get(f"{BILLING}/export", {"format": "jsonl"}))
    assert len(next(chunks).splitlines()) == 5
    service_tokens.revoke(token, scope=EVERYTHING, by="boss")
    with pytest.raises(ExportStoppedError):
        next(chunks)


def test_programs_share_no_slots_of_exports(world: World) -> None:
    texts = [programs.token()[1] for _ in range(2)]
    running: list[Any] = [programs.client(texts[0]).get(f"{BILLING}/export") for _ in range(3)]
    assert [answer.status_code for answer in running] == [200, 200, 429]
    running.append(programs.client(texts[1]).get(f"{BILLING}/export"))
    assert running[-1].status_code == 200
    for answer in running:
        answer.close()


def test_hostile_names_go_through_unharmed(world: World) -> None:
    name = "<script>'\"{{ 1 }}" + "ё" * 30
    client = programs.client(programs.token(world.orgs["red"], "budgets", name=name)[1])
    body = {"name": "Hostile", "org": world.orgs["red"].slug, "limit": "10"}
    created = client.post(BUDGETS, body, format="json").json()["data"]
    history = client.get(f"{BUDGETS}/{created['id']}/history")
    assert json.loads(history.content)["data"]["items"][0]["by"] == f"token:{name}"
