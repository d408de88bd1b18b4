"""The Calls page: which calls it lists, their totals, order, columns, search and files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.support import scope_queries
from tests.support.page_text import read
from tests.support.rows import NOON, enter, row
from usage_billing.models import Organization, UsageRecord
from usage_billing.pages import call_search

CALLS, OWN = "/superadmin/ai-costs/calls", "/usage/calls"
TABLE = "Calls"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_noon")]


def summary(response: Any) -> dict[str, str]:
    """The exact totals that the page carries for programs."""
    tag = re.search(r'<dl class="summary"([^>]*)>', response.content.decode())
    assert tag is not None
    return dict(re.findall(r'data-([a-z-]+)="([^"]*)"', tag[1]))


def listed(response: Any, column: str = "Type") -> list[str]:
    """The cells of a column of the list."""
    table = read(response).tables.get(TABLE, [[]])
    return [line[table[0].index(column)] for line in table[1:]]


# ── Who sees what ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("two_tenants")
def test_superadmin_sees_every_call(superadmin: Client) -> None:
    response = superadmin.get(CALLS)
    assert sorted(listed(response)) == ["custom_analysis", "globex_secret", "weekly_digest"]
    assert set(listed(response, "Organisation")) == {"Acme", "Globex"}
    assert summary(response) == {
        "requests": "3",
        "tokens": "360",
        "input": "300",
        "output": "60",
        "usd": "7778",
        "rub": "622240",
        "failed": "0",
        "unpriced-usd": "0",
        "unpriced-rub": "0",
    }


@pytest.mark.usefixtures("two_tenants")
def test_owner_sees_the_calls_of_their_organisation(owner_of: Callable[..., Client], acme: Organization) -> None:
    response = owner_of(acme).get(OWN)
    assert sorted(listed(response)) == ["custom_analysis", "weekly_digest"]
    assert summary(response)["usd"] == "1"
    assert "Organisation" not in read(response).tables[TABLE][0]
    assert "globex_secret" not in response.content.decode()


def test_member_sees_only_their_own_calls(member_of: Callable[..., Client], acme: Organization) -> None:
    client = member_of(acme)
    misha, colleague = User.objects.get(username="misha"), User.objects.create_user("colleague")
    enter(
        row(acme, user_id=misha.pk, request_type="mine"),
        row(acme, user_id=colleague.pk, request_type="theirs"),
        row(acme, request_type="of_the_system"),
    )
    for query in ("", f"?user={colleague.pk}", "?user=0", "?request_type=theirs", "?sort=-cost_usd"):
        assert set(listed(client.get(f"{OWN}{query}"))) <= {"mine"}
    assert summary(client.get(OWN))["requests"] == "1"


@pytest.mark.usefixtures("two_tenants")
def test_superadmins_list_refuses_others(owner_of: Callable[..., Client], acme: Organization) -> None:
    response = owner_of(acme).get(CALLS)
    assert (response.status_code, read(response).tables) == (403, {})
    assert Client().get(CALLS)["Location"] == f"/login/?next={CALLS}"


def test_superadmin_is_sent_to_their_list(superadmin: Client) -> None:
    assert superadmin.get(f"{OWN}?days=7")["Location"] == f"{CALLS}?days=7"


# ── Filters and totals ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def various(acme: Organization, globex: Organization) -> None:
    olga = User.objects.create_user("oleg")
    enter(
        row(acme, request_type="plain", agent_id="a", tags={"feature": "search"}),
        row(acme, request_type="tagged", agent_id="b", tags={"feature": "chat", "env": "prod"}, user_id=olga.pk),
        row(acme, request_type="broken", agent_id="b", status="failed", error_code="500 server_error",
            cost_usd=Decimal(0), cost_rub=Decimal(0), price_source="not-charged:failed"),
        row(acme, request_type="unknown", agent_id="", cost_usd=None, cost_rub=None,
            price_source="unpriced:unknown-model"),
        row(globex, request_type="rated", cost_rub=None, usd_rub_rate=None, agent_id="c"),
        row(globex, request_type="working", workflow_id="w-1", content_id="17", provider_project="proj-1",
            api_key_fingerprint="f00d", agent_id="c"),
    )  # fmt: skip


@pytest.mark.usefixtures("various")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("agent_id=a", "plain"),
        ("agent_id=a&agent_id=b", "broken plain tagged"),
        ("agent_id!=c&agent_id!=b", "plain unknown"),
        ("agent_id=", "unknown"),
        ("tag.feature=search", "plain"),
        ("tag.feature=search&tag.feature=chat", "plain tagged"),
        ("tag.feature!=search&agent_id=b", "broken tagged"),
        ("tag.feature=chat&tag.env=prod", "tagged"),
        ("tag.feature=", "broken rated unknown working"),
        ("status=failed", "broken"),
        ("status!=failed&agent_id=b", "tagged"),
        ("unpriced=usd", "unknown"),
        ("unpriced=rub", "rated unknown"),
        ("error_code=500 server_error", "broken"),
        ("price_source=unpriced:unknown-model", "unknown"),
        ("workflow_id=w-1", "working"),
        ("workflow_id=", "broken plain rated tagged unknown"),
        ("content_id=17", "working"),
        ("provider_project=proj-1", "working"),
        ("api_key=f00d", "working"),
        ("user=0&agent_id=b", "broken"),
    ],
)
def test_filter_narrows_the_list_and_the_totals_alike(superadmin: Client, query: str, expected: str) -> None:
    response = superadmin.get(CALLS, dict_of(query))
    assert sorted(listed(response)) == expected.split()
    assert summary(response)["requests"] == str(len(expected.split()))
    assert len(response.context["chips"]) == len(dict_of(query))


def dict_of(query: str) -> dict[str, list[str]]:
    return parse_qs(query.replace("+", "%2B"), keep_blank_values=True)


@pytest.mark.usefixtures("various")
def test_totals_count_what_they_leave_out(superadmin: Client) -> None:
    found = summary(superadmin.get(CALLS))
    assert (found["requests"], found["failed"], found["unpriced-usd"], found["unpriced-rub"]) == ("6", "1", "1", "2")
    assert (found["usd"], found["rub"]) == ("2", "120")
    only_unpriced = summary(superadmin.get(f"{CALLS}?unpriced=usd"))
    assert (only_unpriced["usd"], only_unpriced["tokens"]) == ("", "120")


def test_totals_are_of_all_calls_and_not_of_the_page(superadmin: Client, acme: Organization) -> None:
    enter(*(row(acme, cost_usd=Decimal("0.000000000001")) for _ in range(60)))
    response = superadmin.get(CALLS)
    assert len(listed(response)) == 50
    assert (summary(response)["requests"], summary(response)["usd"]) == ("60", "0.00000000006")


def test_period_of_the_address(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, request_type="old", created_at=NOON - timedelta(days=40)), row(acme, request_type="new"))
    assert listed(superadmin.get(CALLS)) == ["new"]
    assert listed(superadmin.get(f"{CALLS}?days=90")) == ["new", "old"]
    assert listed(superadmin.get(f"{CALLS}?from=2026-04-01&to=2026-04-30")) == ["old"]


def test_without_calls_it_says_so(superadmin: Client, acme: Organization) -> None:
    enter(row(acme))
    response = superadmin.get(f"{CALLS}?agent_id=nobody")
    assert "No calls match" in read(response).titles
    assert summary(response) == {
        **dict.fromkeys(("requests", "tokens", "input", "output", "usd", "rub", "failed"), "0"),
        "unpriced-usd": "0",
        "unpriced-rub": "0",
    }


# ── Order and pages ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def three(acme: Organization) -> None:
    enter(
        row(acme, request_type="first", cost_usd=Decimal(2), prompt_tokens=10, execution_time_ms=30,
            created_at=NOON - timedelta(minutes=2)),
        row(acme, request_type="second", cost_usd=Decimal(3), prompt_tokens=30, execution_time_ms=10,
            created_at=NOON - timedelta(minutes=1)),
        row(acme, request_type="third", cost_usd=Decimal(1), prompt_tokens=20, execution_time_ms=20),
    )  # fmt: skip


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("created_at", "first second third"),
        ("cost_usd", "third first second"),
        ("total_tokens", "first third second"),
        ("execution_time_ms", "second third first"),
    ],
)
def test_order_in_both_directions(superadmin: Client, sort: str, expected: str) -> None:
    assert listed(superadmin.get(f"{CALLS}?sort={sort}")) == expected.split()
    assert listed(superadmin.get(f"{CALLS}?sort=-{sort}")) == expected.split()[::-1]


@pytest.mark.usefixtures("three")
def test_headers_lead_to_the_order_and_to_its_reverse(superadmin: Client) -> None:
    response = superadmin.get(f"{CALLS}?days=7")
    assert 'class="time" aria-sort="descending"' in response.content.decode()
    links = read(response).links
    assert links["USD"] == "?days=7&sort=-cost_usd"
    by_cost = superadmin.get(f"{CALLS}{links['USD']}")
    assert 'class="number amount" aria-sort="descending"' in by_cost.content.decode()
    assert read(by_cost).links["USD"] == "?days=7&sort=cost_usd"
    assert listed(by_cost) == ["second", "first", "third"]


def earlier(minutes: int) -> datetime:
    return NOON - timedelta(minutes=minutes)


@pytest.mark.parametrize("sort", ["-created_at", "created_at", "-cost_usd", "cost_usd", "-total_tokens"])
def test_pages_follow_each_other_without_gap_or_overlap(superadmin: Client, acme: Organization, sort: str) -> None:
    enter(
        *(
            row(
                acme,
                request_type=f"call_{n}",
                cost_usd=round(Decimal(n % 7) / 3, 12),
                created_at=NOON - timedelta(minutes=n // 2),
            )
            for n in range(120)
        )
    )
    address, seen, pages = f"{CALLS}?sort={sort}", [], 0
    while address:
        response = superadmin.get(address)
        seen += listed(response)
        pages += 1
        next_link = read(response).links.get("Next calls →")
        address = f"{CALLS}{next_link}" if next_link else ""
        assert summary(response)["requests"] == "120"
    assert (pages, len(seen), len(set(seen))) == (3, 120, 120)
    assert read(response).links["← Back to the first calls"] == f"?sort={sort}"


def test_position_is_left_when_the_list_changes(superadmin: Client, acme: Organization) -> None:
    enter(*(row(acme) for _ in range(60)))
    second = superadmin.get(f"{CALLS}{read(superadmin.get(CALLS)).links['Next calls →']}")
    assert [link for link in read(second).links.values() if "cursor=" in link] == []


def test_cursor_of_another_order_is_left_out_with_a_hint(superadmin: Client, acme: Organization) -> None:
    enter(*(row(acme, request_type=f"call_{n}") for n in range(60)))
    cursor = parse_qs(read(superadmin.get(CALLS)).links["Next calls →"][1:])["cursor"][0]
    response = superadmin.get(CALLS, {"cursor": cursor, "sort": "-cost_usd"})
    assert (len(response.context["parameters"].hints), len(listed(response))) == (1, 50)


@pytest.mark.usefixtures("various")
def test_order_by_cost_says_which_calls_it_leaves_out(superadmin: Client) -> None:
    response = superadmin.get(f"{CALLS}?sort=-cost_usd")
    assert "unknown" not in listed(response)
    assert "1 unpriced call is left out of this order." in response.content.decode()
    assert read(response).links["Show them"] == "?sort=-cost_usd&unpriced=usd"


# ── Columns ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("various")
def test_columns_of_the_address_are_shown_in_their_order(superadmin: Client) -> None:
    response = superadmin.get(
        f"{CALLS}?columns=agent_id,workflow_id,cost,cost_rub,cost_usd,prompt_tokens&workflow_id=w-1"
    )
    assert read(response).tables[TABLE] == [
        ["Time", "USD", "Agent", "Input", "RUB", "Workflow"],
        ["20 May 15:00:00", "0.50", "c", "100", "40.00", "w-1"],
    ]


@pytest.mark.usefixtures("various")
def test_currency_of_the_switch_is_that_of_the_cost(superadmin: Client) -> None:
    assert read(superadmin.get(f"{CALLS}?currency=rub&columns=cost,cost_usd")).tables[TABLE][0][1:] == ["RUB", "USD"]
    assert read(superadmin.get(f"{CALLS}?currency=rub")).tables[TABLE][0][-2:] == ["RUB", "Status"]


def test_columns_of_the_form_become_one_parameter(superadmin: Client) -> None:
    response = superadmin.get(f"{CALLS}?days=7&columns=created_at&columns=status&columns=tags")
    assert (response.status_code, response["Location"]) == (302, f"{CALLS}?days=7&columns=created_at%2Cstatus%2Ctags")


def test_every_column_has_its_cell(superadmin: Client, acme: Organization) -> None:
    olga = User.objects.create_user("olga")
    enter(
        row(acme, user_id=olga.pk, tags={"b": "2", "a": "1"}, cached_tokens=7, error_code="e", workflow_id="w",
            content_id="17", request_id="req-1", execution_time_ms=4200)
    )  # fmt: skip
    response = superadmin.get(CALLS)
    names = ",".join(name for name, _text, _shown in response.context["columns_offered"])
    head, line = read(superadmin.get(f"{CALLS}?columns={names}")).tables[TABLE]
    assert dict(zip((name.strip() for name in head[2:]), line[2:], strict=True)) == {
        "Type": "custom_analysis",
        "Agent": "legal_guard",
        "Model": "gpt-5-mini",
        "Provider": "openai",
        "Organisation": "Acme",
        "User": "olga",
        "Tags": "a=1 b=2",
        "Input": "100",
        "Output": "20",
        "From the cache": "7",
        "Tokens": "120",
        "Time": "4.2\u00a0s",
        "RUB": "40.00",
        "Status": "succeeded",
        "Error": "e",
        "Workflow": "w",
        "Content": "17",
        "Request id": "req-1",
    }


def test_unknown_column_is_left_out_with_a_hint(superadmin: Client, acme: Organization) -> None:
    enter(row(acme))
    response = superadmin.get(f"{CALLS}?columns=agent_id,secret")
    assert "There is no column “secret”." in response.context["parameters"].hints[0]
    assert "Type" in read(response).tables[TABLE][0]


def test_text_from_callers_is_never_markup(superadmin: Client, acme: Organization) -> None:
    attack = "</script><script>alert(1)</script>\"'&"
    texts = ("agent_id", "request_type", "ai_provider", "ai_model", "error_code", "workflow_id", "content_id")
    enter(row(acme, tags={"k": attack}, **dict.fromkeys(texts, attack)))
    names = "agent_id,request_type,ai_provider,ai_model,error_code,workflow_id,content_id,tags,request_id"
    response = superadmin.get(f"{CALLS}?columns={names}", {})
    assert read(response).tables[TABLE][1].count(attack) == 7
    for text in (response, superadmin.get(CALLS, {"q": attack, "agent_id": attack})):
        assert "<script>alert" not in text.content.decode()


# ── Search ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def old_call(acme: Organization) -> UsageRecord:
    """A call of a year ago: the search goes beyond the period."""
    enter(row(acme, request_id="req-old", workflow_id="flow-1", content_id="post-9",
              created_at=NOON - timedelta(days=365)))  # fmt: skip
    return UsageRecord.objects.get()


def test_search_by_id_leads_to_the_call(superadmin: Client, old_call: UsageRecord) -> None:
    for text in (str(old_call.pk), "req-old", " req-old "):
        found = superadmin.get(CALLS, {"q": text, "agent_id": "another"})
        assert (found.status_code, found["Location"]) == (302, f"{CALLS}/{old_call.pk}")


@pytest.mark.parametrize(("text", "name"), [("flow-1", "workflow_id"), ("post-9", "content_id")])
def test_search_by_workflow_or_content_leads_to_its_calls(
    superadmin: Client, acme: Organization, old_call: UsageRecord, text: str, name: str
) -> None:
    enter(row(acme, **{name: text}))
    found = superadmin.get(CALLS, {"q": text, "currency": "rub", "days": "7"})
    assert found["Location"] == f"{CALLS}?from={old_call.usage_date}&currency=rub&{name}={text}"
    assert summary(superadmin.get(found["Location"]))["requests"] == "2"


def test_search_lists_calls_that_share_an_id(superadmin: Client, acme: Organization, globex: Organization) -> None:
    enter(row(acme, request_id="same"), row(globex, request_id="same"))
    response = superadmin.get(CALLS, {"q": "same"})
    assert "Several matches for “same”" in read(response).titles
    keys = UsageRecord.objects.order_by("-pk").values_list("pk", flat=True)
    assert found_links(response) == [f"{CALLS}/{key}" for key in keys]


def found_links(response: Any) -> list[str]:
    """The addresses of what the search has found."""
    section = response.content.decode().partition('aria-labelledby="found"')[2].partition("</tbody>")[0]
    return [each.replace("&amp;", "&") for each in re.findall(r'<a href="(/[^"]*)"', section)]


def test_search_shows_a_call_and_the_content_with_the_same_id(
    superadmin: Client, acme: Organization, old_call: UsageRecord
) -> None:
    text = str(old_call.pk)
    enter(*(row(acme, content_id=text) for _ in range(call_search.MOST + 1)))
    response = superadmin.get(CALLS, {"q": text})
    content = f"{CALLS}?from={NOON.date()}&content_id={text}"
    assert found_links(response) == [content, f"{CALLS}/{text}"]
    assert summary(superadmin.get(content))["requests"] == str(call_search.MOST + 1)


def test_search_shows_a_workflow_and_the_content_with_the_same_id(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, workflow_id="7-b"), row(acme, content_id="7-b"))
    text = superadmin.get(CALLS, {"q": "7-b"}).content.decode()
    for name, link in (("workflow", "workflow_id"), ("content", "content_id")):
        address = f"{CALLS}?from={NOON.date()}&amp;{link}=7-b"
        assert f'<a href="{address}">All calls of the {name} “7-b”</a>' in text


def test_search_without_a_hit_says_what_can_be_searched(superadmin: Client, old_call: UsageRecord) -> None:
    response = superadmin.get(CALLS, {"q": "nothing"})
    assert "No call found for “nothing”" in read(response).titles
    assert "request id, workflow id or content id" in response.content.decode()


@pytest.mark.parametrize("text", ["secret-request", "secret-flow", "secret-post"])
def test_search_finds_nothing_of_another_tenant(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization, globex: Organization, text: str
) -> None:
    enter(row(globex, request_id="secret-request", workflow_id="secret-flow", content_id="secret-post"))
    assert superadmin.get(CALLS, {"q": text}).status_code == 302
    owner = owner_of(acme)
    call = UsageRecord.objects.get(request_id="secret-request")
    for asked in (text, str(call.pk)):
        assert f"No call found for “{asked}”" in read(owner.get(OWN, {"q": asked})).titles


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def files(response: Any) -> dict[str, str]:
    """The formats of the export, and their addresses."""
    ((_heading, formats),) = response.context["exports"]
    return {each.text: each.link for each in formats}


def downloaded(answer: Any) -> str:
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode("utf-8-sig")


@pytest.mark.usefixtures("various")
@pytest.mark.parametrize(
    "query",
    ["", "agent_id=b", "agent_id!=b&unpriced=usd", "tag.feature=chat", "user=0", "workflow_id=", "currency=rub"],
)
def test_export_has_exactly_these_calls(superadmin: Client, query: str) -> None:
    response = superadmin.get(f"{CALLS}?days=7&sort=cost_usd&columns=agent_id&{query}")
    exports = files(response)
    assert set(exports) == {"CSV", "Excel (XLSX)", "JSON Lines"}
    text = downloaded(superadmin.get(exports["CSV"]))
    assert len([*csv.DictReader(io.StringIO(text))]) == int(summary(response)["requests"])
    assert parse_qs(urlsplit(exports["CSV"]).query)["from"] == ["2026-05-14"]


@pytest.mark.usefixtures("two_tenants")
def test_owner_exports_their_own(owner_of: Callable[..., Client], acme: Organization) -> None:
    owner = owner_of(acme)
    link = files(owner.get(OWN))["JSON Lines"]
    assert len(downloaded(owner.get(link)).splitlines()) == 2


# ── The page itself ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("calls", [1, 200])
def test_number_of_queries_is_fixed(
    calls: int,
    superadmin: Client,
    acme: Organization,
    globex: Organization,
    django_assert_num_queries: Any,
    django_assert_max_num_queries: Any,
) -> None:
    people = [User.objects.create_user(f"user{n}") for n in range(5)]
    enter(
        *(
            row([acme, globex][n % 2], user_id=people[n % 5].pk, request_type=f"t{n % 9}", tags={"k": f"v{n % 3}"})
            for n in range(calls)
        )
    )
    # Session, user; organisations; totals by day, archived months, the calls, their users' names; saved views.
    with django_assert_num_queries(8 + scope_queries.of_a_superadmin()):
        superadmin.get(f"{CALLS}?days=90")
    # Reading another order takes four more at most, of a few days (`reports.sql.call_order`).
    with django_assert_max_num_queries(12 + scope_queries.of_a_superadmin()):
        superadmin.get(f"{CALLS}?days=90&sort=-cost_usd&request_type=t0&request_type=t1&agent_id!=x")


def test_page_is_small(superadmin: Client, acme: Organization) -> None:
    tags = {f"key_{n}": "value" * 5 for n in range(5)}
    enter(*(row(acme, tags=tags) for _ in range(60)))
    assert len(superadmin.get(CALLS).content) < 100_000


@pytest.mark.parametrize(
    "query",
    [
        "sort=odd",
        "sort=cost_rub",
        "cursor=%00",
        "cursor=WyJhIl0",
        "columns=%00",
        "q=%00",
        "q=" + "9" * 190,
        "q=" + "x" * 300,
        "q=%ed%a0%80",
        "unpriced=eur",
        "tag.=x",
        "tag.%00=x",
        "user=-1",
        "org=1.0",
        "workflow_id=" + "x" * 200,
    ],
)
def test_what_cannot_be_understood_is_no_error(superadmin: Client, acme: Organization, query: str) -> None:
    enter(row(acme))
    assert superadmin.get(f"{CALLS}?{query}").status_code == 200


def test_archived_months_are_named(superadmin: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(row(acme))
    monkeypatch.setattr("usage_billing.reports.call_lists.archived_before", lambda _period: NOON.date())
    assert "are archived: the totals include them, the lists of calls do not" in superadmin.get(CALLS).content.decode()
