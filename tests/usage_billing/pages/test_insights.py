"""Insights: each section's numbers, the calls that they lead to, and what it says where there is nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import QueryDict
from django.test import Client

from tests.support import scope_queries
from tests.support.page_text import read
from tests.support.rows import NOON, enter, row
from usage_billing import reports
from usage_billing.models import Organization
from usage_billing.pages import insights_expensive, insights_failures
from usage_billing.pages.parameters import PageSerializer, parse
from usage_billing.tenancy.scope import EVERYTHING

ADMIN, OWN = "/superadmin/ai-costs/insights", "/usage/insights"
FAILURES = "Failed and unpriced calls by reason, most frequent first"
ANOMALIES = "Days that cost far more than usual, the most unusual first"
COMPARISON = "The cost of the same tokens by model, cheapest first"
BATCH = "Request types: what batches and flex would have saved, most first"
CACHE_BY_TYPE = "Request types: use of the cache, those that could save most first"
EXPENSIVE = "Most expensive calls of the period"
CONTENT = "Content: totals of the period, most expensive first"
UNKNOWN = {"cost_usd": None, "cost_rub": None, "price_source": "unpriced:unknown-model"}
FAILED = {"cost_usd": Decimal(0), "cost_rub": Decimal(0), "status": "failed", "price_source": "not-charged:failed"}

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_noon")]


def behind(link: str) -> list[Any]:
    """The calls that the Calls page shows a superadmin at this address."""
    assert urlsplit(link).path == "/superadmin/ai-costs/calls"
    parameters = parse(QueryDict(urlsplit(link).query), NOON.date(), PageSerializer)
    return list(reports.calls(EVERYTHING, filters=parameters.filters, period=parameters.period))


def links_of(response: Any, section: str) -> list[tuple[str, str]]:
    """Text and address of the links in a section, by its heading's id."""
    html = response.content.decode().partition(f'id="{section}"')[2].partition("</section>")[0]
    found = re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', html, re.DOTALL)
    return [(re.sub("<[^>]+>", "", text).strip(), link.replace("&amp;", "&")) for link, text in found]


# ── Failed and unpriced ─────────────────────────────────────────────────────────────────────────────────────────


def test_failures_say_what_to_do_and_lead_to_exactly_their_calls(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization
) -> None:
    enter(
        *(row(acme, ai_model=f"model_{n}", **UNKNOWN) for n in range(8)),
        *(row(acme, error_code="429 rate_limit_exceeded", **FAILED) for _ in range(3)),
        row(acme, error_code="429 rate_limit_exceeded", ai_provider="anthropic", **FAILED),
        row(acme, cost_usd=None, cost_rub=None, status="aborted", price_source="unpriced:cut-short"),
        row(acme),
    )
    response = superadmin.get(ADMIN)
    found = read(response).tables[FAILURES][1:]
    assert found[0][0].startswith("No price for model_0, model_1 and 6 more")
    assert found[0][1].startswith("Update the price list or add a price override, then reprice the calls.Add a price:")
    assert [line[0] for line in found[1:]] == [
        "openai: 429 rate_limit_exceededgpt-5-mini",
        "Cut short before the answer was completegpt-5-mini",
        "anthropic: 429 rate_limit_exceededgpt-5-mini",
    ]
    assert found[1][1:] == ["Spread the calls, or ask the provider for a higher limit.", "3"]
    numbers = [(text, link) for text, link in links_of(response, "failures") if text.isdigit()]
    assert [(text, len(behind(link))) for text, link in numbers] == [(text, int(text)) for text in ("8", "3", "1", "1")]
    summary = dict(links_of(response, "failures")[:2])
    assert {text: len(behind(link)) for text, link in summary.items()} == {"4 failed": 4, "9 unpriced": 9}
    own = read(owner_of(acme).get(OWN)).tables[FAILURES]
    assert own[1][1] == "Ask a superadmin to add a price override."


def test_superadmin_adds_a_price_with_provider_and_model_filled_in(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, ai_model="gpt-7 preview&x", **UNKNOWN))
    form = dict(links_of(superadmin.get(ADMIN), "failures"))["gpt-7 preview&amp;x"]
    assert parse_qs(urlsplit(form).query) == {"provider": ["openai"], "model_pattern": ["gpt-7 preview&x"]}
    assert b'value="gpt-7 preview&amp;x"' in superadmin.get(form).content


def test_count_of_which_only_the_newest_were_read_says_so(
    superadmin: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(*(row(acme, error_code="500", created_at=NOON - timedelta(hours=n), **FAILED) for n in range(3)))
    assert read(superadmin.get(ADMIN)).tables[FAILURES][1][2] == "3"
    monkeypatch.setattr(insights_failures, "COUNTED_UP_TO", 2)
    monkeypatch.setattr(import_module("usage_billing.reports.failures"), "NEWEST", 2)
    response = superadmin.get(ADMIN)
    assert read(response).tables[FAILURES][1][2] == "> 2"
    assert "Only the newest 1,000 failed and unpriced calls are grouped" in response.content.decode()


def test_calls_without_an_exchange_rate_are_told(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_rub=None), row(acme, **UNKNOWN), row(acme))
    response = superadmin.get(ADMIN)
    (link,) = [link for text, link in links_of(response, "failures") if text == "2 calls have no amount in RUB"]
    assert len(behind(link)) == 2
    assert ", 1 of them for lack of an exchange rate. Run fetch_exchange_rates" in response.content.decode()


# ── Anomalies ────────────────────────────────────────────────────────────────────────────────────────────────────


def usual(org: Organization, **columns: Any) -> None:
    enter(*(row(org, created_at=NOON - timedelta(days=n), **columns) for n in range(1, 20)))


def test_anomalies_name_the_organisation_and_what_drove_it(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization, globex: Organization
) -> None:
    usual(acme, cost_usd=Decimal(10), cost_rub=Decimal(800))
    usual(globex, cost_usd=Decimal(4), cost_rub=Decimal(320))
    globex_day = {"request_type": "fact_check", "ai_model": "claude-opus-5-5", "ai_provider": "anthropic"}
    enter(row(acme, cost_usd=Decimal(10)), *(row(globex, cost_usd=Decimal(7), **globex_day) for _ in range(3)))
    for query in ("", "?days=7"):  # a short period learns from the days before it
        response = superadmin.get(ADMIN + query)
        assert read(response).tables[ANOMALIES][1:] == [
            [
                "20 May 2026",
                "All organisations: 2.2 × usual, mostly fact_check on claude-opus-5-5",
                "4",
                "$14.00",
                "$31.00",
            ],
            ["20 May 2026", "Globex: 5.3 × usual, mostly fact_check on claude-opus-5-5", "3", "$4.00", "$21.00"],
        ]
    links = dict(links_of(response, "anomalies"))
    assert len(behind(links["3"])) == len(behind(links["mostly fact_check on claude-opus-5-5"])) == 3
    assert sum(call.cost_usd for call in behind(links["$31.00"])) == 31
    assert "sort=-cost_usd" in links["3"]
    assert read(superadmin.get(f"{ADMIN}?currency=rub")).tables[ANOMALIES][2][3:] == ["₽22.86", "₽120.00"]
    # Of one organisation, its models are looked at.
    own = read(owner_of(globex).get(OWN)).tables[ANOMALIES][1:]
    assert own[0][1] == "All calls: 5.3 × usual, mostly fact_check on claude-opus-5-5"


def test_anomaly_of_a_narrowed_page_does_not_repeat_the_filter(superadmin: Client, acme: Organization) -> None:
    usual(acme)
    enter(row(acme, cost_usd=Decimal(9)))
    assert read(superadmin.get(f"{ADMIN}?ai_model=gpt-5-mini")).tables[ANOMALIES][1][1] == (
        "All organisations: 18.0 × usual, mostly custom_analysis"
    )


def test_day_before_the_period_is_no_anomaly_of_it(superadmin: Client, acme: Organization) -> None:
    usual(acme)
    enter(row(acme, cost_usd=Decimal(9), created_at=NOON - timedelta(days=8)), row(acme))
    assert ANOMALIES in read(superadmin.get(f"{ADMIN}?days=9")).tables
    response = superadmin.get(f"{ADMIN}?days=8")
    assert ANOMALIES not in read(response).tables
    assert "No day cost far more than usual." in response.content.decode()


# ── Cache, batches, other models ────────────────────────────────────────────────────────────────────────────────

MILLION = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "ai_model": "gpt-4.1"}


def test_cache_tells_what_it_saved_and_could_save(superadmin: Client, acme: Organization) -> None:
    # gpt-4.1: $2 a million in, $0.50 cached.
    enter(
        row(acme, request_type="check", cost_usd=Decimal(2), cost_rub=Decimal(160), cached_tokens=400_000, **MILLION),
        row(acme, request_type="chat", cost_usd=Decimal("0.00002"), cost_rub=Decimal("0.0016"), ai_model="gpt-4.1"),
        row(acme, request_type="check", ai_model="gpt-image-2", cost_rub=Decimal(40)),
    )
    response = superadmin.get(ADMIN)
    page = read(response)
    assert [page.cards[name][0] for name in ("From the cache", "Saved", "Could save, at most")] == [
        "40.0%",
        "$0.60",
        "$0.90",
    ]
    assert page.tables[CACHE_BY_TYPE][1:] == [
        ["check", "40.0%", "1,000,000", "$0.90"],
        ["chat", "0.0%", "100 short", "$0.00015"],
    ]
    links = dict(links_of(response, "cache"))
    assert {text: len(behind(links[text])) for text in ("$0.60", "40.0%", "check", "1,000,000", "100", "chat")} == {
        "$0.60": 2,  # all but the image
        "40.0%": 1,
        "check": 1,
        "1,000,000": 1,
        "100": 1,
        "chat": 1,
    }
    assert [len(behind(link)) for text, link in links_of(response, "cache") if text == "$0.90"] == [2, 2, 1]
    in_rub = superadmin.get(f"{ADMIN}?currency=rub")
    assert read(in_rub).cards["Saved"] == ["₽48.00"]
    assert "In RUB at 80.00 for a dollar, the average rate of these calls." in in_rub.content.decode()
    by_agent = read(superadmin.get(f"{ADMIN}?by=agent_id"))
    assert by_agent.tables["Agents: use of the cache, those that could save most first"][1][0] == "legal_guard"


# $1 a million in, $0.50 in a batch.
HAIKU = {**MILLION, "ai_provider": "anthropic", "ai_model": "claude-haiku-4-5"}


def test_batches_by_type_lead_to_the_calls_that_they_count(superadmin: Client, acme: Organization) -> None:
    enter(
        row(acme, request_type="digest", cost_usd=Decimal(1), **HAIKU),
        row(acme, request_type="digest", cost_usd=Decimal("0.80"), **HAIKU),
        row(acme, request_type="digest", ai_model="gpt-image-2"),
        row(acme, request_type="batched", cost_usd=Decimal("0.50"), **HAIKU),
    )
    response = superadmin.get(ADMIN)
    assert read(response).tables[BATCH][1:] == [
        ["digest", "2", "$1.80", "$1.00", "—", "$0.80"],
        ["Total", "3", "$2.30", "$1.50", "—", "$0.80"],
    ]
    links = dict(links_of(response, "batch"))
    assert [len(behind(links[text])) for text in ("2", "$1.80", "$1.00")] == [2, 2, 2]
    assert [len(behind(links[text])) for text in ("3", "$2.30", "$1.50")] == [3, 3, 3]
    assert sum(call.cost_usd for call in behind(links["2"])) == Decimal("1.80")


def test_batches_say_how_many_calls_are_unpriced(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=Decimal(1), **HAIKU))
    assert "unpriced" not in superadmin.get(ADMIN).content.decode().partition('id="batch"')[2].partition("<script")[0]
    unpriced = {**HAIKU, **UNKNOWN, "prompt_tokens": 0}
    enter(row(acme, **unpriced), row(acme, request_type="x", **unpriced), row(acme, **UNKNOWN))
    response = superadmin.get(ADMIN)
    assert read(response).tables[BATCH][1:] == [
        ["custom_analysis", "2", "$1.00", "$0.50", "—", "$0.50"],
        ["Total", "3", "$1.00", "$0.50", "—", "$0.50"],
    ]
    links = dict(links_of(response, "batch"))
    assert (len(behind(links["2"])), len(behind(links["3"]))) == (2, 3)
    found = behind(links["2 calls to these models are unpriced"])
    assert [(call.cost_usd, call.ai_provider) for call in found] == [(None, "anthropic")] * 2


def test_calls_of_several_models_are_linked_by_provider_where_one_link_would_show_more(
    superadmin: Client, acme: Organization
) -> None:
    """A filter by two providers and two models also shows the second provider's calls to the first one's model."""
    enter(row(acme, cost_usd=Decimal(2), **MILLION), *(row(acme, cost_usd=Decimal(1), **HAIKU) for _ in range(2)))
    assert len(behind(dict(links_of(superadmin.get(ADMIN), "comparison"))["3 calls"])) == 3
    enter(row(acme, ai_provider="anthropic", ai_model="gpt-4.1"))
    response = superadmin.get(ADMIN)
    assert dict(links_of(response, "comparison"))["3 calls"] == "#compared-calls"
    for section in ("cache", "comparison"):
        links = {text: link for text, link in links_of(response, section) if text in {"anthropic", "openai"}}
        assert {text: len(behind(link)) for text, link in links.items()} == {"openai": 1, "anthropic": 2}
    assert [name for name, *_ in read(response).tables[CACHE_BY_TYPE][1:]] == [
        "custom_analysisCalls by provider: anthropic, openai"
    ]


def test_savings_stay_in_usd_where_rates_are_missing(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=Decimal(1), cost_rub=None, **HAIKU))
    response = superadmin.get(f"{ADMIN}?currency=rub")
    assert read(response).tables[BATCH][1][-1] == "$0.50"
    assert "In USD: not all of these calls have an exchange rate." in response.content.decode()


def test_comparison_of_the_mix_and_of_one_model(superadmin: Client, acme: Organization) -> None:
    enter(
        row(acme, cost_usd=Decimal(2), **MILLION),
        row(acme, cost_usd=Decimal("0.4"), **{**MILLION, "ai_model": "gpt-4.1-mini"}),
        row(acme, ai_model="text-embedding-3-small", cost_usd=Decimal(1)),
    )
    response = superadmin.get(f"{ADMIN}?compare_model=openai/gpt-4.1-nano")
    assert read(response).tables[COMPARISON] == [
        ["Model", "Difference", "USD"],
        ["gpt-4.1-nano openai ✕Remove gpt-4.1-nano", "−92%", "$0.20"],
        ["gpt-4.1-mini openai", "−67%", "$0.80"],
        ["gpt-4.1 openai", "+67%", "$4.00"],
    ]
    assert "1 call is left out: it is not text or has no list price." in response.content.decode()
    assert len(behind(dict(links_of(response, "comparison"))["2 calls"])) == 2

    one = superadmin.get(f"{ADMIN}?ai_model=gpt-4.1&compared=openai/gpt-4.1-nano&compare_model=openai/gpt-4o-mini")
    rows = {line[0]: line[1:] for line in read(one).tables[COMPARISON][1:]}
    assert rows["gpt-4.1 openai now, at list price"] == ["0%", "$2.00"]
    assert rows["gpt-4.1-mini openai"] == ["−80%", "$0.40"]  # used in the period
    assert {"gpt-4.1-nano openai ✕Remove gpt-4.1-nano", "gpt-4o-mini openai ✕Remove gpt-4o-mini"} <= rows.keys()
    assert any("anthropic" in name for name in rows)
    assert 'name="compared" value="openai/gpt-4.1-nano,openai/gpt-4o-mini"' in one.content.decode()
    remove = dict(links_of(one, "comparison"))["✕Remove gpt-4o-mini"]
    rest = read(superadmin.get(ADMIN + remove.partition("#")[0])).tables[COMPARISON]
    assert ["gpt-4o-mini" in line[0] for line in rest] == [False] * len(rest)


def test_models_that_nobody_knows_are_not_compared(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=Decimal(2), **MILLION))
    page = read(superadmin.get(f"{ADMIN}?compare_model=nobody/nothing&compared=,x,openai/gpt-99"))
    assert [line[0] for line in page.tables[COMPARISON][1:]] == ["gpt-4.1 openai"]


# ── Most expensive ──────────────────────────────────────────────────────────────────────────────────────────────


def test_most_expensive_calls_and_content(superadmin: Client, acme: Organization) -> None:
    enter(
        *(row(acme, cost_usd=Decimal(n), content_id="a" if n % 2 else "b") for n in range(12)),
        row(acme, cost_usd=Decimal(1), content_id="c"),
    )
    response = superadmin.get(ADMIN)
    page = read(response)
    assert [line[-2] for line in page.tables[EXPENSIVE][1:]] == [f"{n}.00" for n in range(11, 1, -1)]
    assert page.tables[CONTENT][1:] == [["a", "6", "36.00"], ["b", "6", "30.00"], ["c", "1", "1.00"]]
    link = dict(links_of(response, "content_id"))["36.00"]
    assert sum(call.cost_usd for call in behind(link)) == 36
    assert "No call in this period belongs to a workflow." in response.content.decode()


def test_workflows_of_many_calls_are_added_up_on_request(
    superadmin: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(row(acme, content_id="a"), row(acme, content_id="a"))
    monkeypatch.setattr(insights_expensive, "WORKFLOWS_UP_TO_CALLS", 1)
    response = superadmin.get(f"{ADMIN}?days=7")
    assert CONTENT not in read(response).tables
    ask = dict(links_of(response, "workflow_id"))["Add them up"]
    assert ask == "?days=7&workflows=show#workflow_id"
    assert CONTENT in read(superadmin.get(ADMIN + ask.partition("#")[0])).tables


# ── The page ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_section_says_what_it_would_show(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, ai_model="gpt-image-2", cost_usd=Decimal(0), cost_rub=Decimal(0)))
    text = superadmin.get(ADMIN).content.decode()
    assert text.count('<p class="none">') == 8
    assert "No calls match" in superadmin.get(f"{ADMIN}?agent_id=nobody").content.decode()


@pytest.mark.usefixtures("two_tenants")
def test_owner_sees_nothing_of_another_organisation(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization, globex: Organization
) -> None:
    enter(row(globex, ai_model="globex-model", error_code="globex_error", **FAILED))
    secrets = ("globex_error", "7,777", "globex_secret")
    text = superadmin.get(ADMIN).content.decode()
    assert [secret in text for secret in secrets] == [True] * 3
    text = owner_of(acme).get(OWN).content.decode()
    assert [secret in text for secret in (*secrets, "Globex", "Recording and prices")] == [False] * 5


@pytest.mark.parametrize("calls", [1, 400])
def test_number_of_queries_is_fixed(
    calls: int,
    superadmin: Client,
    owner_of: Callable[..., Client],
    acme: Organization,
    globex: Organization,
    django_assert_num_queries: Any,
) -> None:
    owner = owner_of(acme, globex)
    people = [User.objects.create_user(f"user{n}").pk for n in range(20)]
    enter(
        *(
            row(
                (acme, globex)[n % 2],
                user_id=people[n % 20],
                request_type=f"type_{n % 17}",
                agent_id=f"agent_{n % 7}",
                ai_model=f"model_{n % 11}",
                status="succeeded" if n % 5 else "failed",
                content_id=f"content_{n}",
                cost_usd=Decimal(n + 1) / 100,
                created_at=NOON - timedelta(hours=n),
            )
            for n in range(calls)
        )
    )
    # With many calls: the days of each organisation. On SQLite the highest cost of a day bounds nothing, so an owner's
    # list by cost reads the second 20 days of organisations as well.
    more = 1 if calls > 1 else 0
    second_read = 1 if calls > 1 and connection.vendor == "sqlite" else 0
    # Session, user; totals; rate, models without a price; tokens; failures; days, organisations; most expensive calls
    # (four), names of users; workflows, content; archived months; names of organisations.
    with django_assert_num_queries(18 + more + scope_queries.of_a_superadmin()):
        superadmin.get(f"{ADMIN}?days=90")
    # Without rate and models.
    with django_assert_num_queries(16 + more + second_read + scope_queries.of_a_member()):
        owner.get(f"{OWN}?days=90")
