"""Budgets over HTTP: what is sent and answered, and who may do what."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from tests.support import budgets, factories
from tests.support.rows import enter, row
from usage_billing.api import examples
from usage_billing.models import Budget, BudgetChange, BudgetLease, Organization

pytestmark = pytest.mark.django_db
BUDGETS = "/api/billing/budgets"
EXAMPLE = {
    "name": "November",
    "org": "severny-veter",
    "window": "month",
    "limit": "100.00",
    "unit": "usd",
    "mode": "stop",
}
FIGURES = ("spent", "reserved", "remaining", "unpriced_count", "forecast", "runs_out_on")


@pytest.fixture
def org() -> Organization:
    return Organization.objects.create(name="Severny Veter", slug="severny-veter", timezone="Europe/Moscow")


def client(person: Any) -> APIClient:
    found = APIClient(headers={"accept-language": "en"})
    if person is not None:
        found.force_authenticate(person)
    return found


def sent(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.content
    return answer.json()["data"]


def refused(answer: Any, status: int) -> Any:
    assert answer.status_code == status, answer.content
    return answer.json()["error"]


def post(person: Any, body: Any, path: str = BUDGETS) -> Any:
    return client(person).post(path, body, format="json")


def patch(person: Any, id_: int, body: Any) -> Any:
    return client(person).patch(f"{BUDGETS}/{id_}", body, format="json")


def spend(org: Organization, usd: str, **columns: Any) -> None:
    enter(row(org, created_at=timezone.now(), cost_usd=Decimal(usd), **columns))


# ── Setting ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_example_of_the_contract_works_as_it_stands(org: Organization) -> None:
    owner = factories.owner(org, "anna")
    made = sent(post(owner, EXAMPLE), 201)
    budget = Budget.objects.get()
    reset = made.pop("resets_at")
    assert reset.endswith("-01T00:00:00+03:00")
    assert made == {
        "id": budget.pk,
        "name": "November",
        "org": "severny-veter",
        "scope": {
            "user": None,
            "agent_id": None,
            "request_type": None,
            "ai_provider": None,
            "ai_model": None,
            "tag": None,
        },
        "window": "month",
        "limit": "100",
        "unit": "usd",
        "mode": "stop",
        "thresholds": [50, 80, 100],
        "when_unavailable": "open",
        "replacement": "",
        "starts_on": factories.today(org).isoformat(),
        "is_active": True,
        "is_superadmins": False,
        "may_change": True,
        "is_used_up": False,
        "spent": "0",
        "reserved": "0",
        "remaining": "100",
        "unpriced_count": 0,
        "forecast": None,
        "runs_out_on": None,
    }
    assert BudgetChange.objects.get().by == "anna"


def test_all_fields_can_be_sent_and_an_answer_can_be_sent_back(org: Organization) -> None:
    owner, member = factories.owner(org), factories.member(org)
    scope = {
        "user": member.pk,
        "agent_id": "legal_guard",
        "request_type": "check",
        "ai_provider": "openai",
        "ai_model": "gpt-6-luna",
        "tag": "feature=search",
    }
    body = {
        **EXAMPLE,
        "org": org.pk,
        "scope": scope,
        "window": "total",
        "limit": 12.5,
        "unit": "rub",
        "mode": "downgrade",
        "replacement": "anthropic:claude-haiku-5-5",
        "thresholds": [],
        "when_unavailable": "closed",
        "starts_on": "2026-01-01",
        "is_active": False,
    }
    made = sent(post(owner, body), 201)
    assert {name: made[name] for name in body} == {**body, "org": "severny-veter", "limit": "12.5"}
    assert made["resets_at"] is None
    again = sent(client(owner).put(f"{BUDGETS}/{made['id']}", made, format="json"))
    assert again == made
    assert BudgetChange.objects.count() == 1


@pytest.mark.parametrize("tag", ["feature=a=b", {"key": "feature", "value": "a=b"}])
def test_a_tag_is_text_or_an_object(org: Organization, tag: Any) -> None:
    made = sent(post(factories.owner(org), {**EXAMPLE, "scope": {"tag": tag}}), 201)
    assert made["scope"]["tag"] == "feature=a=b"
    assert Budget.objects.values_list("tag_key", "tag_value").get() == ("feature", "a=b")


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({"limit": "0"}, {"limit"}),
        ({"limit": "-1"}, {"limit"}),
        ({"limit": "NaN"}, {"limit"}),
        ({"limit": "1e3"}, {"limit"}),
        ({"limit": "1" * 30}, {"limit"}),
        ({"limit": True}, {"limit"}),
        ({"limit": None}, {"limit"}),
        ({"limit": "1.5", "unit": "calls"}, {"limit"}),
        ({"name": ""}, {"name"}),
        ({"name": 5}, {"name"}),
        ({"name": "x" * 101}, {"name"}),
        ({"org": "nowhere"}, {"org"}),
        ({"org": 999_999}, {"org"}),
        ({"window": "year"}, {"window"}),
        ({"unit": "eur"}, {"unit"}),
        ({"mode": "downgrade"}, {"replacement"}),
        ({"replacement": "openai:gpt-6-luna"}, {"replacement"}),
        ({"thresholds": [80, 50]}, {"thresholds"}),
        ({"thresholds": ["50"]}, {"thresholds"}),
        ({"thresholds": 50}, {"thresholds"}),
        ({"starts_on": "2026-02-30"}, {"starts_on"}),
        ({"is_active": "yes"}, {"is_active"}),
        ({"scope": {"user": 999_999}}, {"scope"}),
        ({"scope": {"tag": "feature"}}, {"scope"}),
        ({"scope": {"tag": "=x"}}, {"scope"}),
        ({"scope": {"tag": {"key": "feature"}}}, {"scope"}),
        ({"scope": {"tag": 5}}, {"scope"}),
        ({"scope": {"agent": "legal_guard"}}, {"scope"}),
        ({"scope": "all"}, {"scope"}),
        ({"modes": "stop"}, {"modes"}),
    ],
)
def test_what_is_wrong_is_told_by_field(org: Organization, body: dict[str, Any], details: set[str]) -> None:
    error = refused(post(factories.owner(org), EXAMPLE | body), 400)
    assert (error["code"], set(error["details"])) == ("invalid", details)
    assert not Budget.objects.exists()


def test_errors_of_the_schema_are_the_apis(org: Organization) -> None:
    owner, member, boss = factories.owner(org), factories.member(org), factories.superadmin()
    budget, superadmins = budgets.budget(org), budgets.budget(org, is_superadmins=True)
    request = budgets.request(superadmins, member)
    answered = budgets.request(budget, member, state="refused")
    requests = "/api/billing/budget-requests"
    grant, ask = {"state": "granted"}, {"budget": budget.pk, "limit": "100"}
    shown = {
        "WRONG_LIMIT": post(owner, EXAMPLE | {"limit": "0"}),
        "WRONG_PAGE": client(owner).get(BUDGETS, {"limit": 101}),
        "NO_BUDGET": client(owner).get(f"{BUDGETS}/999999"),
        "NOT_AN_OWNER": patch(member, budget.pk, {}),
        "SET_BY_SUPERADMIN": patch(owner, superadmins.pk, {}),
        "NOT_ITS_HISTORY": client(member).get(f"{BUDGETS}/{budget.pk}/history"),
        "LOW_LIMIT": post(member, ask, requests),
        "MAY_CHANGE_IT": post(boss, ask, requests),
        "NO_REQUEST": client(owner).get(f"{requests}/999999"),
        "GRANTED_BY_SUPERADMINS": client(owner).patch(f"{requests}/{request.pk}", grant, format="json"),
        "ANSWERED_BY_OWNERS": client(member).patch(f"{requests}/{request.pk}", {"state": "refused"}, format="json"),
        "ANSWERED_ALREADY": client(owner).patch(f"{requests}/{answered.pk}", grant, format="json"),
    }
    assert {name: answer.json() for name, answer in shown.items()} == {name: getattr(examples, name) for name in shown}


def test_fields_that_are_needed(org: Organization) -> None:
    assert set(refused(post(factories.owner(org), {}), 400)["details"]) == {"name", "org", "limit"}
    sent(post(factories.owner(org), {"name": "x", "org": org.slug, "limit": "1"}), 201)


def test_problems_of_the_scope_are_told_within_it(org: Organization) -> None:
    error = refused(post(factories.owner(org), {**EXAMPLE, "scope": {"user": 999_999}}), 400)
    assert [*error["details"]["scope"]] == ["user"]
    assert "no member" in error["details"]["scope"]["user"][0]


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_figures_are_exact_decimal_texts_in_the_unit(org: Organization) -> None:
    owner, budget = factories.owner(org), budgets.budget(org, limit=Decimal("1.5"))
    spend(org, "2.25")
    enter(row(org, created_at=timezone.now(), cost_usd=None, cost_rub=None))
    first = factories.today(org).replace(day=1)
    until = timezone.now() + timedelta(minutes=1)
    BudgetLease.objects.create(org=org, budget=budget, first_day=first, granted="0.125", holder="x", expires_at=until)
    found = sent(client(owner).get(f"{BUDGETS}/{budget.pk}"))
    assert {name: found[name] for name in (*FIGURES, "is_used_up")} == {
        "spent": "2.25",
        "reserved": "0.125",
        "remaining": "-0.875",
        "unpriced_count": 1,
        "forecast": None,
        "runs_out_on": factories.today(org).isoformat(),
        "is_used_up": True,
    }


def test_a_list_is_filtered_and_paged(org: Organization) -> None:
    owner, member, other = factories.owner(org), factories.member(org), factories.organization()
    everything = {
        "a": budgets.budget(org, name="a", user_id=member.pk),
        "b": budgets.budget(org, name="b", agent_id="legal_guard", mode="stop"),
        "c": budgets.budget(org, name="c", is_active=False),
        "d": budgets.budget(other, name="d"),
    }

    def names(person: Any, **query: Any) -> list[str]:
        found = sent(client(person).get(BUDGETS, query))
        assert found["count"] >= len(found["items"])
        return [item["name"] for item in found["items"]]

    assert names(owner) == ["a", "b", "c"]
    boss = factories.superadmin()
    assert names(boss) == [*everything]
    assert names(boss, org=org.slug) == names(boss, org=org.pk) == ["a", "b", "c"]
    assert names(owner, user=member.pk) == ["a"]
    assert names(owner, agent_id="legal_guard") == names(owner, mode="stop") == ["b"]
    assert names(owner, is_active="false") == ["c"]
    assert names(owner, limit=1, offset=1) == ["b"]
    assert names(owner, org=other.pk) == []
    assert sent(client(owner).get(BUDGETS, {"limit": 1}))["count"] == 3
    for query in ({"org": other.slug}, {"limit": 101}, {"is_active": "1"}, {"modes": "stop"}, {"mode": "ask"}):
        assert [*refused(client(owner).get(BUDGETS, query), 400)["details"]] == [*query]


def test_a_page_of_fifty_budgets_takes_few_queries(org: Organization) -> None:
    owner = factories.owner(org)
    for person in [factories.member(org) for _ in range(48)]:
        budgets.budget(org, user_id=person.pk)
    budgets.budget(org)
    budgets.budget(org, unit="calls", window="week")
    with CaptureQueriesContext(connection) as queries:
        assert len(sent(client(owner).get(BUDGETS))["items"]) == 50
    assert len(queries) < 20, [each["sql"][:100] for each in queries]


def test_members_see_figures_of_their_own_budgets_alone(org: Organization) -> None:
    member, other = factories.member(org), factories.member(org)
    own, shared = budgets.budget(org, user_id=member.pk), budgets.budget(org, limit=Decimal(2))
    others = budgets.budget(org, user_id=other.pk)
    spend(org, "2", user_id=member.pk)
    spend(org, "1", user_id=other.pk)
    listed = {item["id"]: item for item in sent(client(member).get(BUDGETS))["items"]}
    assert listed.keys() == {own.pk, shared.pk}
    assert (listed[own.pk]["spent"], listed[own.pk]["remaining"]) == ("2", "98")
    assert {listed[shared.pk][name] for name in FIGURES} == {None}
    told = ("name", "limit", "window", "mode", "is_used_up", "may_change")
    assert [listed[shared.pk][name] for name in told] == [shared.name, "2", "month", "alert", True, False]
    assert sent(client(member).get(f"{BUDGETS}/{shared.pk}")) == listed[shared.pk]
    refused(client(member).get(f"{BUDGETS}/{others.pk}"), 404)


# ── Changing and deleting ────────────────────────────────────────────────────────────────────────────────────────


def test_a_change_leaves_the_rest_as_it_is(org: Organization) -> None:
    owner = factories.owner(org)
    budget = budgets.budget(org, agent_id="legal_guard", request_type="check", unit="rub", tag_key="a", tag_value="b")
    found = sent(patch(owner, budget.pk, {"limit": "7", "scope": {"agent_id": None, "ai_model": "gpt-6-luna"}}))
    assert (found["limit"], found["unit"]) == ("7", "rub")
    assert found["scope"] == {
        "user": None,
        "agent_id": None,
        "request_type": "check",
        "ai_provider": None,
        "ai_model": "gpt-6-luna",
        "tag": "a=b",
    }
    assert set(sent(patch(owner, budget.pk, {"scope": None}))["scope"].values()) == {None}


def test_a_replaced_budget_gets_defaults_for_what_is_left_out(org: Organization) -> None:
    owner = factories.owner(org)
    budget = budgets.budget(org, agent_id="a", unit="rub", window="total", thresholds=[10], is_active=False)
    found = sent(client(owner).put(f"{BUDGETS}/{budget.pk}", {"name": "x", "org": org.pk, "limit": "5"}, format="json"))
    assert (found["unit"], found["window"], found["thresholds"], found["is_active"]) == (
        "usd",
        "month",
        [50, 80, 100],
        True,
    )
    assert (found["scope"]["agent_id"], found["starts_on"]) == (None, "2026-01-01")
    assert set(refused(client(owner).put(f"{BUDGETS}/{budget.pk}", {}, format="json"), 400)["details"]) == {
        "name",
        "org",
        "limit",
    }


def test_the_organisation_of_a_budget_stays(org: Organization) -> None:
    owner, other = factories.owner(org), factories.organization()
    other.memberships.create(user=owner, role="owner")
    budget = budgets.budget(org)
    assert [*refused(patch(owner, budget.pk, {"org": other.pk}), 400)["details"]] == ["org"]
    sent(patch(owner, budget.pk, {"org": org.slug}))


def test_a_deleted_budget_leaves_its_history(org: Organization) -> None:
    owner = factories.owner(org, "anna")
    made = sent(post(owner, EXAMPLE), 201)
    address = f"{BUDGETS}/{made['id']}"
    sent(patch(owner, made["id"], {"limit": "250"}))
    answer = client(owner).delete(address)
    assert (answer.status_code, answer.content) == (204, b"")
    refused(client(owner).get(address), 404)
    history = sent(client(owner).get(f"{address}/history"))
    assert [(item["action"], item["by"], item["name"]) for item in history["items"]] == [
        ("deleted", "anna", "November"),
        ("changed", "anna", "November"),
        ("created", "anna", "November"),
    ]
    assert history["items"][1]["changes"] == {"limit": ["100", "250"]}
    assert sent(client(owner).get(f"{address}/history", {"limit": 1, "offset": 1}))["items"] == history["items"][1:2]


# ── Who may do what ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_superadmins_budget_is_changed_by_superadmins_alone(org: Organization) -> None:
    owner, boss = factories.owner(org), factories.superadmin()
    made = sent(post(boss, EXAMPLE), 201)
    assert made["is_superadmins"] is True
    seen = sent(client(owner).get(f"{BUDGETS}/{made['id']}"))
    assert (seen["spent"], seen["may_change"]) == ("0", False)
    for answer in (patch(owner, made["id"], {"limit": "1"}), client(owner).delete(f"{BUDGETS}/{made['id']}")):
        assert refused(answer, 403)["code"] == "set_by_superadmin"
    sent(client(owner).get(f"{BUDGETS}/{made['id']}/history"))
    sent(patch(boss, made["id"], {"limit": "1"}))


def test_members_see_and_change_nothing_but_may_ask(org: Organization) -> None:
    member, budget = factories.member(org), budgets.budget(org)
    BudgetChange.objects.create(org=org, budget=budget, budget_name="x", by="anna")
    for answer in (
        post(member, EXAMPLE),
        patch(member, budget.pk, {"limit": "1"}),
        client(member).put(f"{BUDGETS}/{budget.pk}", EXAMPLE, format="json"),
        client(member).delete(f"{BUDGETS}/{budget.pk}"),
        client(member).get(f"{BUDGETS}/{budget.pk}/history"),
    ):
        assert refused(answer, 403)["code"] == "not_an_owner"
    assert Budget.objects.get().limit == budgets.LIMIT


def test_other_tenants_budgets_are_answered_as_if_they_were_not_there(org: Organization) -> None:
    budget = budgets.budget(org)
    BudgetChange.objects.create(org=org, budget=budget, budget_name="x", by="anna")
    missing = budget.pk + 1000
    for person in (factories.owner(factories.organization()), factories.user()):
        assert sent(client(person).get(BUDGETS)) == {"count": 0, "items": []}
        for method, suffix in (("get", ""), ("patch", ""), ("put", ""), ("delete", ""), ("get", "/history")):
            act = getattr(client(person), method)
            body = {} if method == "get" else EXAMPLE
            answers = [
                refused(act(f"{BUDGETS}/{id_}{suffix}", body, format="json"), 404)
                for id_ in (budget.pk, missing, 10**19)
            ]
            assert answers[0] == answers[1] == answers[2]
        of_others, of_nobody = (
            refused(post(person, EXAMPLE | {"org": slug}), 400)["details"]["org"][0]
            for slug in ("severny-veter", "nowhere")
        )
        assert of_others.replace("severny-veter", "nowhere") == of_nobody


def test_nobody_sees_budgets_without_logging_in(org: Organization) -> None:
    budget = budgets.budget(org)
    for path in ("", f"/{budget.pk}", f"/{budget.pk}/history"):
        refused(client(None).get(BUDGETS + path), 401)
    refused(post(None, EXAMPLE), 401)


def test_a_trailing_slash_is_optional(org: Organization) -> None:
    budget, owner = budgets.budget(org), factories.owner(org)
    for path in ("/", f"/{budget.pk}/", f"/{budget.pk}/history/"):
        sent(client(owner).get(BUDGETS + path))
