"""The page of one call: its facts with their links, its neighbours, and whom it is shown to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.support import scope_queries
from tests.support.page_text import read
from tests.support.rows import NOON, enter, row
from usage_billing.models import Organization, UsageRecord
from usage_billing.pages import hooks

CALLS, OWN = "/superadmin/ai-costs/calls", "/usage/calls"
OF_WORKFLOW = "Calls of the workflow, oldest first"
AROUND = "The organisation's calls before and after this one, oldest first"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_noon")]


@pytest.fixture
def call(acme: Organization) -> UsageRecord:
    """A call with every fact, of three months ago: links to others name its days."""
    person = User.objects.create_user("anna")
    enter(
        row(acme, user_id=person.pk, content_id="17", workflow_id="flow-1", tags={"feature": "search"},
            platform="telegram", provider_project="proj-1", api_key_fingerprint="f00d",
            request_metadata={"participant_id": "p-9"}, usage={"prompt_tokens": 100, "completion_tokens": 20},
            created_at=NOON - timedelta(days=90), execution_time_ms=4200, request_id="msg_01Xk9fQ",
            usd_rub_rate=Decimal("80.5"))
    )  # fmt: skip
    return UsageRecord.objects.get()


def test_a_reported_call_says_who_told_it_and_which_cost(superadmin: Client, acme: Organization) -> None:
    told = {"source": "otlp", "emitter": "opentelemetry.instrumentation.openai.v1", "told_cost_usd": "0.07"}
    enter(row(acme, response_metadata=told, cost_usd=None, cost_rub=None, price_source="unpriced:cache-write-lifetime"))

    response = superadmin.get(f"{CALLS}/{UsageRecord.objects.get().pk}")

    facts = read(response).cards
    assert facts["Reported by"] == ["OpenTelemetry"]
    assert facts["Emitter"] == ["opentelemetry.instrumentation.openai.v1"]
    assert facts["Cost as it was told, USD"] == ["0.07"]
    assert "Reported without the lifetime of cache writes" in response.content.decode()


def test_call_is_a_page_with_its_facts(superadmin: Client, call: UsageRecord) -> None:
    response = superadmin.get(f"{CALLS}/{call.pk}")
    page = read(response)
    text = response.content.decode()
    assert page.headings == ["$0.50 succeeded"]
    facts = {term: texts for term, texts in page.cards.items() if texts != ["—"]}
    assert facts == {
        "Organisation": ["Acme"],
        "User": ["anna"],
        "Agent": ["legal_guard"],
        "Request type": ["custom_analysis"],
        "Content": ["17"],
        "Provider": ["openai"],
        "Model": ["gpt-5-mini"],
        "Workflow": ["flow-1"],
        "Tags": ["feature=search"],
        "Platform": ["telegram"],
        "Endpoint": ["/v1/chat/completions"],
        "Provider's project": ["proj-1"],
        "API key": ["f00d"],
        "participant_id": ["p-9"],
    }
    # At noon in London it is 15 o'clock in Moscow, the organisation's zone.
    assert "19 Feb 2026 15:00:00</time> Europe/Moscow · 4.2\u00a0s" in text
    assert 'id="call"' in text
    assert 'data-copy="msg_01Xk9fQ"' in text
    assert "₽40 at 80.5, the rate of 19 Feb 2026" in text


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("anna", "user={user}"),
        ("legal_guard", "agent_id=legal_guard"),
        ("custom_analysis", "request_type=custom_analysis"),
        ("17", "content_id=17"),
        ("gpt-5-mini", "ai_provider=openai&ai_model=gpt-5-mini"),
        ("feature=search", "tag.feature=search"),
        ("proj-1", "provider_project=proj-1"),
        ("f00d", "api_key=f00d"),
        ("Acme", "org={org}"),
    ],
)
def test_fact_leads_to_the_calls_that_share_it(superadmin: Client, call: UsageRecord, text: str, query: str) -> None:
    enter(row(call.org, created_at=NOON - timedelta(days=89), agent_id="other", request_type="other", ai_model="other"))
    link = read(superadmin.get(f"{CALLS}/{call.pk}")).links[text]
    assert link == f"{CALLS}?from=2026-02-04&to=2026-03-06&" + query.format(user=call.user_id, org=call.org_id)
    table = read(superadmin.get(link)).tables["Calls"]
    assert "custom_analysis" in [line[1] for line in table[1:]]
    assert ("other" in [line[1] for line in table[1:]]) is (text == "Acme")


def test_recent_call_leads_to_the_usual_period(superadmin: Client, acme: Organization) -> None:
    enter(row(acme))
    page = read(superadmin.get(f"{CALLS}/{UsageRecord.objects.get().pk}"))
    assert page.links["legal_guard"] == f"{CALLS}?agent_id=legal_guard"
    assert page.links["← Calls"] == CALLS
    assert page.links["system"] == f"{CALLS}?user=0"


def test_content_is_named_by_its_title(superadmin: Client, call: UsageRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "content_sources", [lambda _scope, ids: dict.fromkeys(ids, "Charging in seven minutes")])
    assert read(superadmin.get(f"{CALLS}/{call.pk}")).cards["Content"] == ["Charging in seven minutes"]


def test_ways_to_the_comparison_and_to_the_admin(
    superadmin: Client, owner_of: Callable[..., Client], call: UsageRecord
) -> None:
    of_superadmin = read(superadmin.get(f"{CALLS}/{call.pk}")).links
    assert of_superadmin["Record in the admin"] == f"/superadmin/usage_billing/usagerecord/{call.pk}/change/"
    assert of_superadmin["On another model"] == (
        "/superadmin/ai-costs/insights?from=2026-02-04&to=2026-03-06&ai_provider=openai&ai_model=gpt-5-mini#comparison"
    )
    assert of_superadmin["Copy link"] == f"{CALLS}/{call.pk}"
    of_owner = read(owner_of(call.org).get(f"{OWN}/{call.pk}")).links
    assert "Record in the admin" not in of_owner
    assert of_owner["Copy link"] == f"{OWN}/{call.pk}"


# ── Other calls ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_attempts_of_a_workflow_are_together(superadmin: Client, acme: Organization, globex: Organization) -> None:
    enter(
        row(acme, workflow_id="w", status="failed", cost_usd=Decimal(0), cost_rub=Decimal(0)),
        row(acme, workflow_id="w", created_at=NOON - timedelta(minutes=1), cost_usd=Decimal("0.25")),
        row(acme, workflow_id="w", created_at=NOON + timedelta(minutes=1), cost_usd=None, cost_rub=None),
        row(globex, workflow_id="w"),
    )
    call = UsageRecord.objects.filter(org=acme).earliest("pk")
    response = superadmin.get(f"{CALLS}/{call.pk}")
    page = read(response)
    assert [(line[0], line[2]) for line in page.tables[OF_WORKFLOW][1:]] == [
        ("20 May 14:59:00", "0.25"),
        ("20 May 15:00:00", "0 failed"),
        ("20 May 15:01:00", "—unknown"),
    ]
    assert "Workflow: 3 calls · $0.25 · 360 tokens" in page.titles
    text = response.content.decode()
    assert ("1 of them failed." in text, "The cost leaves out 1 unpriced call." in text) == (True, True)
    listed = superadmin.get(page.links["w"])
    assert listed.context["total"]["requests_count"] == 3


def test_calls_of_the_organisation_around_it(superadmin: Client, acme: Organization, globex: Organization) -> None:
    enter(
        *(row(acme, request_type=f"call_{n}", created_at=NOON - timedelta(minutes=n)) for n in range(10)),
        row(globex, request_type="foreign", created_at=NOON - timedelta(minutes=5)),
    )
    call = UsageRecord.objects.get(request_type="call_5")
    table = read(superadmin.get(f"{CALLS}/{call.pk}")).tables[AROUND]
    assert [line[1].split()[0] for line in table[1:]] == [f"call_{n}" for n in (8, 7, 6, 5, 4, 3, 2)]


def test_member_sees_only_their_own_around(member_of: Callable[..., Client], acme: Organization) -> None:
    client = member_of(acme)
    misha = User.objects.get(username="misha")
    enter(
        row(acme, user_id=misha.pk, workflow_id="w"),
        row(acme, request_type="of_the_system", workflow_id="w"),
        row(acme, user_id=misha.pk, request_type="mine", workflow_id="w"),
    )
    call = UsageRecord.objects.filter(user_id=misha.pk).earliest("pk")
    page = read(client.get(f"{OWN}/{call.pk}"))
    for caption in (AROUND, OF_WORKFLOW):
        assert [line[1].split()[0] for line in page.tables[caption][1:]] == ["custom_analysis", "mine"]


# ── Who sees it ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_call_of_another_tenant_is_a_404_like_a_missing_one(
    owner_of: Callable[..., Client], member_of: Callable[..., Client], acme: Organization, globex: Organization
) -> None:
    enter(row(globex), row(acme))
    foreign, colleagues = UsageRecord.objects.get(org=globex), UsageRecord.objects.get(org=acme)
    owner, member = owner_of(acme), member_of(acme)
    assert owner.get(f"{OWN}/{colleagues.pk}").status_code == 200
    missing = owner.get(f"{OWN}/999999")
    assert missing.status_code == 404
    for client, id_ in ((owner, foreign.pk), (member, colleagues.pk), (owner, 10**30)):
        response = client.get(f"{OWN}/{id_}")
        assert (response.status_code, read(response).headings) == (404, read(missing).headings)
    assert Client().get(f"{OWN}/{foreign.pk}")["Location"] == f"/login/?next={OWN}/{foreign.pk}"


def test_each_role_has_its_address(superadmin: Client, owner_of: Callable[..., Client], acme: Organization) -> None:
    enter(row(acme))
    id_ = UsageRecord.objects.get().pk
    assert superadmin.get(f"{OWN}/{id_}")["Location"] == f"{CALLS}/{id_}"
    assert owner_of(acme).get(f"{CALLS}/{id_}").status_code == 403


# ── What is wrong ────────────────────────────────────────────────────────────────────────────────────────────────


def test_unpriced_call_says_why_and_what_to_do(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization
) -> None:
    enter(row(acme, cost_usd=None, cost_rub=None, known_cost_usd=Decimal("0.0012"), ai_model="gpt-99",
              price_source="unpriced:unknown-model"))  # fmt: skip
    id_ = UsageRecord.objects.get().pk
    response = superadmin.get(f"{CALLS}/{id_}")
    assert read(response).headings == ["Unpriced succeeded"]
    text = response.content.decode()
    assert "No price for the model" in text
    assert "Known part of the cost: $0.0012. No total contains it." in text
    assert "then reprice the calls" in text
    add = read(response).links["Add a price override"]
    assert add == "/superadmin/usage_billing/priceoverride/add/?provider=openai&model_pattern=gpt-99"
    assert "Ask a superadmin to add a price override." in owner_of(acme).get(f"{OWN}/{id_}").content.decode()


def test_call_without_a_rate_says_so(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_rub=None, usd_rub_rate=None))
    text = superadmin.get(f"{CALLS}/{UsageRecord.objects.get().pk}").content.decode()
    assert "No exchange rate was known for the billing day" in text
    assert "Run fetch_exchange_rates, then reprice_usage." in text


def test_failed_call_shows_its_error_and_advice(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, status="failed", error_code="429 rate_limit_exceeded", cost_usd=Decimal(0), cost_rub=Decimal(0),
              price_source="not-charged:failed"))  # fmt: skip
    text = superadmin.get(f"{CALLS}/{UsageRecord.objects.get().pk}").content.decode()
    assert "429 rate_limit_exceeded" in text
    assert "Spread the calls, or ask the provider for a higher limit." in text
    assert "Not charged: the provider bills nothing for a failed request" in text


def test_text_from_callers_is_never_markup(superadmin: Client, acme: Organization) -> None:
    attack = "</script><script>alert(1)</script>\"'&"
    texts = ("agent_id", "request_type", "ai_model", "error_code", "workflow_id", "content_id", "platform")
    enter(
        row(acme, tags={"k": attack}, request_metadata={attack: [attack]}, usage={attack: 1}, request_id=attack,
            **dict.fromkeys(texts, attack))
    )  # fmt: skip
    text = superadmin.get(f"{CALLS}/{UsageRecord.objects.get().pk}").content.decode()
    assert ("<script>alert" in text, "&lt;script&gt;alert" in text) == (False, True)


@pytest.mark.parametrize("calls", [1, 100])
def test_number_of_queries_is_fixed(
    calls: int, superadmin: Client, acme: Organization, django_assert_num_queries: Any
) -> None:
    people = [User.objects.create_user(f"user{n}") for n in range(3)]
    enter(*(row(acme, workflow_id="w", user_id=people[n % 3].pk) for n in range(calls)))
    id_ = UsageRecord.objects.earliest("pk").pk
    # Session, user; the call, its organisation; workflow: totals, calls; before, after; users' names; organisations.
    expected = 10 + scope_queries.of_a_superadmin()
    with django_assert_num_queries(expected + (1 if calls > 1 else 0)):  # the names of users of the other calls
        superadmin.get(f"{CALLS}/{id_}")
