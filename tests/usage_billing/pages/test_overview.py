"""The overview: who sees which numbers, their format, and the words for unknown ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.support import scope_queries
from tests.support.page_text import read
from tests.support.rows import NOON, enter, row
from usage_billing.ledger import archived
from usage_billing.models import Membership, Organization

SUPERADMIN, OWN = "/superadmin/ai-costs", "/usage/"
MOST_EXPENSIVE_FIRST = "totals of the period, most expensive first"
TYPES, MODELS, AGENTS, ORGS, USERS = (
    f"{title}: {MOST_EXPENSIVE_FIRST}" for title in ("Request types", "Models", "Agents", "Organisations", "Users")
)
LATEST = "Calls, newest first"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_noon")]


def names(rows: list[list[str]]) -> list[str]:
    return [line[0] for line in rows[1:]]


# ── Who sees what ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("two_tenants")
def test_superadmin_sees_every_organisation(superadmin: Client) -> None:
    page = read(superadmin.get(SUPERADMIN))
    assert page.headings == ["Overview"]
    assert [page.cards[name][0] for name in ("Requests", "Tokens", "Cost, USD", "Cost, RUB")] == [
        "3",
        "360",
        "$7,778.00",
        "₽622,240.00",
    ]
    assert page.tables[TYPES] == [
        ["Request type", "Share", "Calls", "Change", "USD"],
        ["globex_secret", "100.0%", "1", "—", "7,777.00"],
        ["custom_analysis", "<\u00a00.1%", "1", "—", "0.75"],
        ["weekly_digest", "<\u00a00.1%", "1", "—", "0.25"],
    ]
    assert names(page.tables[ORGS]) == ["Globex", "Acme"]


@pytest.mark.usefixtures("two_tenants")
def test_owner_sees_their_organisation_and_nothing_of_another(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization
) -> None:
    secrets = ("globex_secret", "7,777", "622,160", "Globex")
    everything = superadmin.get(SUPERADMIN).content.decode()
    assert [secret in everything for secret in secrets[:2]] == [True] * 2

    response = owner_of(acme).get(OWN)
    page = read(response)
    assert [page.cards[name][0] for name in ("Requests", "Cost, USD", "Cost, RUB")] == ["2", "$1.00", "₽80.00"]
    assert names(page.tables[TYPES]) == ["custom_analysis", "weekly_digest"]
    assert (ORGS in page.tables, USERS in page.tables) == (False, True)
    assert len(page.tables[LATEST][1:]) == 2
    assert [secret in response.content.decode() for secret in secrets] == [False] * len(secrets)


def test_member_sees_only_their_own_calls(member_of: Callable[..., Client], acme: Organization) -> None:
    client = member_of(acme)
    misha = User.objects.get(username="misha")
    enter(
        row(acme, user_id=misha.pk, cost_usd=Decimal("0.11"), cost_rub=Decimal("9")),
        row(acme, user_id=User.objects.create_user("colleague").pk, cost_usd=Decimal("0.22"), cost_rub=Decimal("18")),
        row(acme),
    )
    page = read(client.get(OWN))
    assert (page.cards["Requests"][0], page.cards["Cost, USD"][0]) == ("1", "$0.11")
    assert [line[3] for line in page.tables[LATEST][1:]] == ["misha"]
    assert USERS not in page.tables


def test_member_sees_nothing_of_an_organisation_that_they_left(
    member_of: Callable[..., Client], acme: Organization
) -> None:
    client = member_of(acme)
    enter(row(acme, user_id=User.objects.get(username="misha").pk))
    assert read(client.get(OWN)).cards["Requests"][0] == "1"
    Membership.objects.all().delete()
    assert read(client.get(OWN)).cards == {}


@pytest.mark.usefixtures("two_tenants")
def test_outsider_is_told_that_they_belong_to_no_organisation() -> None:
    client = Client()
    client.force_login(User.objects.create_user("stranger"))
    page = read(client.get(OWN))
    assert (page.cards, page.tables) == ({}, {})
    assert "You belong to no organisation yet" in page.titles


# ── Links ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("two_tenants")
def test_numbers_lead_to_their_calls(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, status="failed", error_code="429", cost_usd=None, cost_rub=None))
    response = superadmin.get(f"{SUPERADMIN}?days=7&currency=rub")
    page, shared = read(response), f"{SUPERADMIN}/calls?days=7&currency=rub"
    assert {card.link for card in response.context["cards"]} == {shared}
    assert page.links["1 failed"] == f"{shared}&status=failed"
    assert page.links["1 unpriced"] == f"{shared}&unpriced=rub"
    assert page.links["Acme"] == f"?days=7&currency=rub&org={acme.pk}"
    assert page.links["622,160.00"] == f"{shared}&org={acme.pk + 1}"
    assert page.links["Explore Organisations →"] == f"{SUPERADMIN}/explore?days=7&currency=rub&group=org"


@pytest.mark.usefixtures("two_tenants")
def test_all_others_lead_to_the_calls_that_no_row_counts(superadmin: Client, acme: Organization) -> None:
    enter(*(row(acme, request_type=f"type_{n:02}", cost_usd=Decimal(100 - n)) for n in range(6)))
    page = read(superadmin.get(f"{SUPERADMIN}?days=7&org={acme.pk}"))
    *shown, others = page.tables[TYPES][1:]
    assert (names(page.tables[TYPES]), others[-1]) == ([*(f"type_{n:02}" for n in range(5)), "all others"], "96.00")
    excluded = "".join(f"&request_type%21=type_{n:02}" for n in range(5))
    assert page.links["96.00"] == f"{SUPERADMIN}/calls?days=7&org={acme.pk}{excluded}"
    assert len(shown) == 5


@pytest.mark.usefixtures("two_tenants")
def test_row_narrows_the_page_to_itself(superadmin: Client, acme: Organization) -> None:
    link = read(superadmin.get(f"{SUPERADMIN}?days=7")).links["Acme"]
    narrowed = read(superadmin.get(SUPERADMIN + link))
    assert narrowed.cards["Requests"][0] == "2"
    assert (ORGS in narrowed.tables, USERS in narrowed.tables) == (False, True)
    assert "globex_secret" not in narrowed.links
    assert narrowed.links["Organisation: Acme ✕"] == "?days=7"


def test_breakdown_compares_with_the_period_before(superadmin: Client, acme: Organization) -> None:
    enter(
        row(acme, request_type="grown", cost_usd=Decimal(3)),
        row(acme, request_type="grown", cost_usd=Decimal(2), created_at=NOON - timedelta(days=7)),
        row(acme, request_type="new", cost_usd=Decimal(1)),
        row(acme, request_type="gone", cost_usd=Decimal(1), created_at=NOON - timedelta(days=7)),
        row(acme, created_at=NOON - timedelta(days=60)),
    )
    page = read(superadmin.get(f"{SUPERADMIN}?days=7"))
    assert [(line[0], line[3]) for line in page.tables[TYPES][1:]] == [("grown", "+50%"), ("new", "new")]
    assert page.links["+50%"] == f"{SUPERADMIN}/calls?from=2026-05-07&to=2026-05-13&request_type=grown"


def test_rows_compare_whole_days_and_say_so(superadmin: Client, acme: Organization) -> None:
    """The calls that a change leads to are those that it compares with."""
    a_week_ago = NOON - timedelta(days=7)
    enter(row(acme), row(acme, created_at=NOON - timedelta(days=20)))
    said = "the changes of rows compare whole days, and today is not over yet"
    assert said not in superadmin.get(f"{SUPERADMIN}?days=7").content.decode()
    enter(*(row(acme, created_at=a_week_ago + timedelta(hours=hours)) for hours in (-1, 3)))
    response = superadmin.get(f"{SUPERADMIN}?days=7")
    page = read(response)
    assert page.tables[TYPES][1][:4] == ["custom_analysis", "100.0%", "1", "\u221250%"]
    assert page.cards["Cost, USD"] == ["$0.50", "= 0% compared with the period before"]
    assert said in response.content.decode()
    assert "The period before, of 13 May 2026 only the calls up to this time of day: $0.50" in response.content.decode()
    before = superadmin.get(page.links["\u221250%"]).context["total"]
    assert (before["requests_count"], before["cost_usd"]) == (2, Decimal(1))


def test_change_without_today_leads_to_the_days_that_it_compares(
    superadmin: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The day that corresponds to today is archived, so neither counts."""
    monkeypatch.setattr(archived, "months", lambda *_period: [date(2026, 4, 1)])
    enter(*(row(acme, created_at=NOON - timedelta(days=days)) for days in (0, 1, 30, 31, 70)))
    page = read(superadmin.get(f"{SUPERADMIN}?days=30"))
    said = "= 0% compared with the period before"
    assert page.cards["Requests"] == ["2", said]
    assert superadmin.get(page.links[said]).context["total"]["requests_count"] == 1


@pytest.mark.parametrize(
    ("first_day", "said"), [(13, "▲ +100% compared with the period before"), (12, "nothing to compare with")]
)
def test_change_is_told_where_the_data_reaches_back(
    superadmin: Client, acme: Organization, first_day: int, said: str
) -> None:
    enter(row(acme), row(acme), row(acme, created_at=NOON - timedelta(days=9)))
    enter(row(acme, created_at=NOON - timedelta(days=first_day), cost_usd=Decimal(0), status="failed"))
    page = read(superadmin.get(f"{SUPERADMIN}?days=7&status=succeeded"))
    assert page.cards["Requests"][1] == said


def test_part_of_today_is_compared_with_the_same_part_of_its_day(superadmin: Client, acme: Organization) -> None:
    a_week_ago = NOON - timedelta(days=7)
    enter(row(acme, created_at=NOON - timedelta(days=20)))
    enter(
        row(acme),
        row(acme, created_at=a_week_ago - timedelta(hours=1)),
        row(acme, created_at=a_week_ago + timedelta(hours=3)),
    )
    page = read(superadmin.get(f"{SUPERADMIN}?days=7"))
    assert page.cards["Requests"] == ["1", "= 0% compared with the period before"]


def test_nothing_after_nothing_is_no_change(superadmin: Client, acme: Organization) -> None:
    free = {"cost_usd": Decimal(0), "cost_rub": Decimal(0)}
    enter(
        row(acme, **free),
        row(acme, created_at=NOON - timedelta(days=8), **free),
        row(acme, created_at=NOON - timedelta(days=20)),
    )
    page = read(superadmin.get(f"{SUPERADMIN}?days=7"))
    assert page.cards["Cost, USD"] == ["$0", "= 0% compared with the period before"]


# ── Amounts ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_amount_without_any_known_cost_is_unknown_and_not_zero(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=None, cost_rub=None, price_source="unpriced:model"))
    page = read(superadmin.get(SUPERADMIN))
    assert (page.cards["Cost, USD"][0], page.cards["Cost, RUB"][0]) == ("—unknown", "—unknown")
    assert page.cards["Tokens"][0] == "120"
    assert page.tables[TYPES][1][-1] == "—unknown"
    assert page.tables[LATEST][1][-2] == "—unknown"
    assert page.bars[-1] == "20 May 2026: —"


def test_amount_that_is_known_in_part_says_what_it_leaves_out(superadmin: Client, acme: Organization) -> None:
    unknown = [row(acme, cost_usd=None, cost_rub=None) for _ in range(3)]
    enter(row(acme, cost_usd=Decimal("2"), cost_rub=None), *unknown, row(acme))
    page = read(superadmin.get(SUPERADMIN))
    assert page.cards["Cost, USD"][0] == "$2.50"
    assert page.cards["Cost, USD"][1].endswith("3 unpriced")
    assert page.cards["Cost, RUB"][0] == "₽40.00"
    assert page.cards["Cost, RUB"][1].endswith("4 unpriced")


def test_free_is_zero_and_not_unknown(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=Decimal(0), cost_rub=Decimal(0), status="failed", error_code="rate_limit_exceeded"))
    page = read(superadmin.get(SUPERADMIN))
    assert page.cards["Requests"][1].endswith("1 failed")
    assert (page.cards["Cost, USD"][0], page.cards["Cost, RUB"][0]) == ("$0", "₽0")
    assert page.tables[LATEST][1][-2:] == ["0", "failed"]


def test_small_cost_can_be_seen_and_is_exact_on_hover(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, cost_usd=Decimal("0.000123456"), cost_rub=Decimal("0.00987648")))
    response = superadmin.get(SUPERADMIN)
    assert read(response).cards["Cost, USD"][0] == "$0.000123"
    assert '<span class="costs-amount" title="$0.000123456">' in response.content.decode()


# ── Chart ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_chart_tells_each_day_by_model(superadmin: Client, acme: Organization) -> None:
    enter(
        row(acme, cost_usd=Decimal("0.000001")),
        row(acme, created_at=NOON - timedelta(days=2)),
        row(acme, created_at=NOON - timedelta(days=2), ai_model="another", cost_usd=Decimal(2)),
    )
    response = superadmin.get(f"{SUPERADMIN}?days=7")
    assert read(response).bars == [
        *(f"{day} May 2026: $0" for day in range(14, 18)),
        "18 May 2026: $2.50\nanother: $2.00\ngpt-5-mini: $0.50",
        "19 May 2026: $0",
        "20 May 2026: $0.000001\ngpt-5-mini: $0.000001",
    ]
    chart = response.context["chart"]
    assert [column.is_hatched for column in chart.columns] == [False] * 6 + [True]
    assert chart.columns[4].link == f"{SUPERADMIN}/calls?from=2026-05-18&to=2026-05-18"


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("request_type", ["custom_analysis"]),
        ("agent_id", ["legal_guard"]),
        ("org", ["Acme", "Globex"]),
        ("user", ["system"]),
    ],
)
def test_chart_can_be_stacked_by_each_dimension_in_rub(
    superadmin: Client, acme: Organization, globex: Organization, by: str, expected: list[str]
) -> None:
    enter(row(acme, cost_rub=Decimal(50)), row(globex))
    response = superadmin.get(f"{SUPERADMIN}?days=7&by={by}&currency=rub")
    assert [each.layer.name for each in response.context["chart"].layers] == expected
    assert read(response).bars[-1].startswith("20 May 2026: ₽90.00\n")


def test_chart_draws_many_layers_as_seven(superadmin: Client, acme: Organization) -> None:
    enter(*(row(acme, ai_model=f"model_{n}", cost_usd=Decimal(20 - n)) for n in range(10)))
    layers = superadmin.get(f"{SUPERADMIN}?days=7").context["chart"].layers
    assert [each.layer.name for each in layers] == [*(f"model_{n}" for n in range(6)), "all others"]


def test_this_month_shows_what_each_day_to_come_is_expected_to_cost(superadmin: Client, acme: Organization) -> None:
    enter(*(row(acme, cost_usd=Decimal(2), created_at=NOON - timedelta(days=n)) for n in range(1, 40)))
    # Other periods tell the forecast, and lead to the chart that draws it.
    for query in ("", "?days=7", "?days=90&by=agent_id"):
        other = read(response := superadmin.get(SUPERADMIN + query))
        assert "forecast for 31 May 2026" in response.content.decode()
        link = other.links["show on the chart"]
    assert link == "?by=agent_id&period=this-month"
    response = superadmin.get(SUPERADMIN + link)
    assert "show on the chart" not in response.content.decode()
    page, forecast = read(response), response.context["forecast"]
    assert (forecast.so_far["usd"], forecast.expected["usd"]) == (Decimal(38), Decimal(62))
    assert page.bars[-1] == "31 May 2026: $2.00\nforecast: $2.00"
    assert len(page.bars) == 31
    assert sum(response.context["forecast"].to_come["usd"].values()) == Decimal(24)


def test_long_period_is_shown_by_week_and_by_month(superadmin: Client, acme: Organization) -> None:
    enter(row(acme), row(acme, created_at=NOON - timedelta(days=300)))

    def shown(query: str) -> tuple[bool, int, str]:
        page = read(superadmin.get(f"{SUPERADMIN}?{query}"))
        step = "week" if "days=400" in query else "month"
        return f"Cost by {step}" in page.titles, len(page.bars), page.cards["Requests"][0]

    assert shown("days=400") == (True, 58, "2")
    assert shown("days=800") == (True, 27, "2")


# ── The last calls ───────────────────────────────────────────────────────────────────────────────────────────────


def test_last_calls_are_50_newest_first(superadmin: Client, acme: Organization) -> None:
    anna, gone = User.objects.create_user("anna"), User.objects.create_user("gone")
    gone_id = gone.pk
    enter(
        *(row(acme, created_at=NOON - timedelta(days=20, minutes=n)) for n in range(60)),
        row(acme, user_id=anna.pk, created_at=datetime(2026, 5, 20, 9, 0, 1, tzinfo=UTC), request_type=""),
        row(acme, user_id=gone_id, created_at=datetime(2026, 5, 20, 8, 0, tzinfo=UTC), status="aborted"),
    )
    gone.delete()
    lines = read(superadmin.get(SUPERADMIN)).tables[LATEST]
    assert len(lines) == 1 + 50
    assert lines[1] == ["20 May 12:00:01", "—", "gpt-5-mini", "Acme", "anna", "120", "0.01\u00a0s", "0.50", "succeeded"]
    assert [lines[2][n] for n in (0, 1, 4, 8)] == ["20 May 11:00:00", "custom_analysis", "gone", "cut short"]
    assert lines[3][4] == "system"


def test_organisation_is_named_only_where_there_are_several(
    member_of: Callable[..., Client], owner_of: Callable[..., Client], acme: Organization, globex: Organization
) -> None:
    enter(row(acme), row(globex))
    of_one = read(owner_of(acme).get(OWN)).tables[LATEST]
    of_two = read(member_of(acme, globex, role="owner").get(OWN)).tables[LATEST]
    assert ("Organisation" in of_one[0], "Organisation" in of_two[0]) == (False, True)
    assert sorted(line[3] for line in of_two[1:]) == ["Acme", "Globex"]


def test_text_from_callers_is_never_markup(superadmin: Client, acme: Organization) -> None:
    attack = "</script><script>alert(1)</script>\"'&"
    Organization.objects.update(name=attack)
    person = User.objects.create_user("plain")
    User.objects.filter(pk=person.pk).update(username=attack)
    texts = ("agent_id", "request_type", "ai_provider", "ai_model", "error_code")
    enter(row(acme, user_id=person.pk, status="failed", **dict.fromkeys(texts, attack)))
    for query in ({}, {"agent_id": attack}, {"agent_id": attack, "filters": "edit"}, {"by": "agent_id"}):
        response = superadmin.get(SUPERADMIN, query)
        assert read(response).tables[LATEST][1][1:5] == [attack] * 4
        assert "<script>alert" not in response.content.decode()


# ── Nothing to show ──────────────────────────────────────────────────────────────────────────────────────────────


def test_page_without_calls_says_what_to_do_first(superadmin: Client, acme: Organization) -> None:
    assert "No calls match" in read(superadmin.get(f"{SUPERADMIN}?agent_id=nobody")).titles
    response = superadmin.get(SUPERADMIN)
    page = read(response)
    assert "No calls in this period" in page.titles
    assert page.tables == {}
    text = response.content.decode()
    assert "<code>from ai_clients import OpenAI, AsyncOpenAI, Anthropic, AsyncAnthropic</code>" in text
    assert "<code>python manage.py demo</code>" in text


def test_owner_without_calls_is_told_what_an_owner_can_do(
    owner_of: Callable[..., Client], acme: Organization, globex: Organization
) -> None:
    client = owner_of(globex)
    text = client.get(OWN).content.decode()
    assert "manage.py" not in text
    assert "from usage_billing import usage_context" in text
    samples = re.compile(r"usage_context\(org=(\d+)\):  # (\w+)")
    assert samples.findall(text) == [(str(globex.pk), "Globex")]
    # Of several organisations each has its sample; where the person is a member, others decide.
    olga = User.objects.get(username="olga")
    initech = Organization.objects.create(name="Initech", slug="initech")
    Membership.objects.create(org=acme, user=olga, role="owner")
    Membership.objects.create(org=initech, user=olga, role="member")
    assert samples.findall(client.get(OWN).content.decode()) == [(str(acme.pk), "Acme"), (str(globex.pk), "Globex")]


def test_period_that_has_not_begun_is_empty(superadmin: Client, acme: Organization) -> None:
    enter(row(acme))
    assert "No calls in this period" in read(superadmin.get(f"{SUPERADMIN}?from=2030-01-01")).titles


# ── Cost of the page itself ──────────────────────────────────────────────────────────────────────────────────────


def fill(orgs: list[Organization], people: list[User], calls: int) -> None:
    enter(
        *(
            row(
                orgs[n % len(orgs)],
                user_id=people[n % len(people)].pk,
                request_type=f"type_{n % 17}",
                agent_id=f"agent_{n % 7}",
                ai_model=f"model_{n % 11}",
                status="succeeded" if n % 5 else "failed",
                created_at=NOON - timedelta(hours=n),
            )
            for n in range(calls)
        )
    )


@pytest.mark.parametrize("calls", [1, 400])
def test_number_of_queries_is_fixed(
    calls: int,
    superadmin: Client,
    member_of: Callable[..., Client],
    acme: Organization,
    globex: Organization,
    django_assert_num_queries: Any,
) -> None:
    member = member_of(acme, globex, role="owner")
    orgs = [acme, globex, *(Organization.objects.create(name=f"Org{n}", slug=f"org{n}") for n in range(10))]
    people = [User.objects.get(username="misha"), *(User.objects.create_user(f"user{n}") for n in range(20))]
    fill(orgs, people, calls)
    enter(row(acme, created_at=NOON - timedelta(days=200)))
    # Session, user; the days of both periods, the same part of its day, the first day of all; types, models, agents and
    # organisations, each in both periods; by day and layer; last calls, failures; names of organisations and users;
    # archived months; cache; budgets, requests and alerts.
    with django_assert_num_queries(23 + scope_queries.of_a_superadmin()):
        superadmin.get(f"{SUPERADMIN}?days=90")
    with django_assert_num_queries(23 + scope_queries.of_a_member()):
        member.get(f"{OWN}?days=90")


def test_policy_of_our_pages_is_strict(superadmin: Client, acme: Organization) -> None:
    enter(row(acme))
    strict = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    for response in (Client().get("/login/"), superadmin.get(SUPERADMIN)):
        assert set(response["Content-Security-Policy"].split("; ")) == set(strict.split("; "))
        assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?! src=)", response.content.decode()) == []
    assert "unsafe-eval" in superadmin.get("/superadmin/")["Content-Security-Policy"]
    assert "unsafe-eval" not in superadmin.get("/api/docs")["Content-Security-Policy"]


def test_a_superadmins_page_reads_the_names_of_the_organisations_that_it_shows(
    superadmin: Client, acme: Organization
) -> None:
    Organization.objects.bulk_create(Organization(name=f"Org{n}", slug=f"org{n}") for n in range(300))
    enter(row(acme))
    with CaptureQueriesContext(connection) as asked:
        assert "Acme" in superadmin.get(SUPERADMIN).content.decode()
    read_by_them = [each["sql"] for each in asked if 'FROM "usage_organization"' in each["sql"]]
    assert len(read_by_them) == 1
    assert f"IN ({acme.pk})" in read_by_them[0]


def test_failures_that_are_older_than_those_that_were_read_are_counted(
    superadmin: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("usage_billing.reports.failures"), "NEWEST", 2)
    unpriced = {"cost_usd": None, "cost_rub": None, "price_source": "unpriced:unknown-model"}
    enter(
        *(row(acme, agent_id="noisy", status="failed") for _ in range(2)),
        row(acme, agent_id="quiet", status="failed", created_at=NOON - timedelta(days=1)),
        row(acme, agent_id="quiet", created_at=NOON - timedelta(days=2), **unpriced),
    )
    response = superadmin.get(f"{SUPERADMIN}?days=7&agent_id=quiet")
    found = {item.kind: item for item in response.context["needs_action"]}
    for kind, status in (("failed", "failed"), ("unpriced", "succeeded")):
        assert found[kind].badge == "1"
        listed = superadmin.get(found[kind].link).context
        assert listed["total"]["requests_count"] == 1
        assert status in str(listed["rows"][0].cells)
    insights = superadmin.get(f"{SUPERADMIN}/insights?days=7&agent_id=quiet").content.decode()
    assert "None in this period. Reasons" not in insights
