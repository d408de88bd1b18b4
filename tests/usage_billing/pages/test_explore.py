"""Explore: any metric by one group or two over time, the links of its numbers, and the same as a file."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client

from tests.support import scope_queries
from tests.support.page_text import read
from tests.support.rows import NOON, enter, row
from usage_billing import reports
from usage_billing.api import export_slots
from usage_billing.models import Organization
from usage_billing.pages import explore_choice, explore_data
from usage_billing.pages.explore_choice import ExploreSerializer
from usage_billing.pages.explore_metrics import METRICS
from usage_billing.pages.page import Page
from usage_billing.pages.parameters import PageSerializer, parse
from usage_billing.tenancy.scope import EVERYTHING, Scope, of_organization

SUPERADMIN, OWN = "/superadmin/ai-costs/explore", "/usage/explore"
CALLS = "/superadmin/ai-costs/calls?"
BY_STEP = "The numbers of the chart, the oldest first"
ROW_HEADS = ["Share", "Calls", "Input", "Output", "Average time", "p95", "Per call", "Change", "USD"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_noon")]


@pytest.fixture
def calls(acme: Organization, globex: Organization) -> None:
    """Four models over three days, two tags, a failed and an unpriced call, and calls a month ago."""
    enter(
        row(acme, ai_model="large", cost_usd=Decimal("4"), tags={"feature": "search"}, execution_time_ms=9000),
        row(acme, ai_model="large", cost_usd=Decimal("2"), tags={"feature": "chat"}, prompt_tokens=900),
        row(acme, ai_model="small", cost_usd=Decimal("1"), created_at=NOON - timedelta(days=1), agent_id=""),
        row(acme, ai_model="small", cost_usd=None, cost_rub=None, status="failed", tags={"feature": "search"}),
        row(globex, ai_model="small", cost_usd=Decimal("0.5"), created_at=NOON - timedelta(days=2)),
        row(globex, ai_model="other", ai_provider="anthropic", cost_usd=Decimal("0.25")),
        row(acme, ai_model="large", cost_usd=Decimal("3"), created_at=NOON - timedelta(days=31)),
        row(acme, ai_model="first", cost_usd=Decimal("3"), created_at=NOON - timedelta(days=300)),
    )


def counted(link: str, measure: str, scope: Scope = EVERYTHING) -> Any:
    """The sum over the calls that a list with this address has."""
    query = QueryDict(unescape(link).partition("?")[2])
    parameters = parse(query, scope.today(NOON), PageSerializer)
    assert parameters.hints == []
    (found,) = reports.totals(scope, filters=parameters.filters, period=parameters.period)
    return found[measure]


def table(response: Any) -> list[list[str]]:
    """The rows of the table of groups."""
    assert response.status_code == 200
    found = [rows for caption, rows in read(response).tables.items() if caption != BY_STEP]
    assert len(found) == 1
    return found[0]


def names(response: Any) -> list[str]:
    return [line[0] for line in table(response)[1:]]


def links_of(response: Any, name: str) -> list[tuple[str, str]]:
    """Address and text of each link in the row of that name."""
    text = response.content.decode()
    rows = [part for part in text.split("<tr") if f">{name}<" in part.partition("</th>")[0] and "col-requests" in part]
    assert len(rows) == 1
    return [(unescape(link), found) for link, found in re.findall(r'<a[^>]*href="([^"]+)"[^>]*>([^<]*)</a>', rows[0])]


# ── The table ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("calls")
def test_models_by_cost_with_all_columns_and_the_total(superadmin: Client) -> None:
    rows = table(superadmin.get(SUPERADMIN))
    assert rows[0] == ["Model", *[head if head != "USD" else "USD ▾" for head in ROW_HEADS]]
    assert [[cell.replace("\u00a0", " ") for cell in line] for line in rows[1:]] == [
        ["large", "77.4%", "2", "1,000", "40", "4.50 s", "9.73 s", "3.00", "+100%", "6.00"],
        ["small", "19.4%", "3", "300", "60", "0.01 s", "0.15 s", "0.75", "new", "1.50 1 unpriced"],
        ["other", "3.2%", "1", "100", "20", "0.01 s", "0.15 s", "0.25", "new", "0.25"],
        ["Total", "", "6", "1,400", "120", "1.50 s", "8.70 s", "1.55", "+158%", "7.75 1 unpriced"],
    ]


@pytest.mark.usefixtures("calls")
def test_each_number_leads_to_the_calls_that_it_counts(superadmin: Client) -> None:
    response = superadmin.get(SUPERADMIN, {"metric": "errors"})
    found = [(link, text) for link, text in links_of(response, "small") if link.startswith(CALLS)]
    by_text = {text: link for link, text in found}
    assert counted(by_text["3"], "requests_count") == 3
    assert counted(by_text["300"], "prompt_tokens") == 300
    assert counted(by_text["60"], "completion_tokens") == 60
    assert counted(by_text["1.50"], "cost_usd") == Decimal("1.5")
    assert counted(by_text["1"], "failed_count") == counted(by_text["1"], "requests_count") == 1
    assert counted(by_text["1 unpriced"], "requests_count") == 1


@pytest.mark.usefixtures("calls")
def test_a_change_leads_to_the_calls_before(superadmin: Client) -> None:
    (link,) = [link for link, text in links_of(superadmin.get(SUPERADMIN), "large") if text == "+100%"]
    assert counted(link, "cost_usd") == 3


@pytest.mark.usefixtures("calls")
def test_two_groups_of_which_one_is_a_tag(superadmin: Client) -> None:
    response = superadmin.get(SUPERADMIN, {"group": "tag.feature", "then": "ai_model", "compare": "none"})
    rows = table(response)
    assert rows[0][:2] == ["feature", "Model"]
    assert "Change" not in rows[0]
    assert [(line[0], line[1], line[-1]) for line in rows[1:-1]] == [
        ("search", "large", "4.00"),
        ("chat", "large", "2.00"),
        ("no tag", "small", "1.50"),
        ("no tag", "other", "0.25"),
        ("search", "small", "— 1 unpriced"),
    ]
    amounts = re.findall(r'col-cost"><a href="([^"]+)"[^>]*>([\d.]+)</a>', response.content.decode())
    assert [counted(link, "cost_usd") for link, _ in amounts] == [Decimal(text) for _, text in amounts]


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("-cost", ["large", "small", "other"]),
        ("cost", ["other", "small", "large"]),
        ("name", ["large", "other", "small"]),
        ("-name", ["small", "other", "large"]),
        ("-requests", ["small", "large", "other"]),
        ("-average_time", ["large", "small", "other"]),
        ("-p95_time", ["large", "small", "other"]),
        ("cost_per_call", ["other", "small", "large"]),
        ("share", ["other", "small", "large"]),
        ("-change", ["large", "small", "other"]),
    ],
)
def test_rows_in_the_order_of_any_column(superadmin: Client, sort: str, expected: list[str]) -> None:
    response = superadmin.get(SUPERADMIN, {"sort": sort})
    assert names(response)[:-1] == expected
    order = "descending" if sort.startswith("-") else "ascending"
    column = sort.removeprefix("-")
    assert re.search(rf'<th scope="col" class="col-{column}[^"]*" aria-sort="{order}">', response.content.decode())


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("metric", [each.name for each in METRICS])
def test_the_chosen_metric_is_marked_in_each_row(superadmin: Client, metric: str) -> None:
    text = superadmin.get(SUPERADMIN, {"metric": metric}).content.decode()
    assert re.findall(r'<td class="number col-(\w+) chosen"', text) == [metric] * 4
    assert re.findall(r'<th scope="col" class="col-(\w+) chosen number"', text) == [metric]


@pytest.mark.usefixtures("calls")
def test_a_menu_orders_by_each_column(superadmin: Client) -> None:
    response = superadmin.get(SUPERADMIN, {"sort": "-requests", "metric": "errors"})
    menu = response.content.decode().partition('sort-menu">')[2].partition("</details>")[0]
    links = re.findall(r'<a href="([^"]+)"( aria-current="true")?>([^<]+)<?', menu)
    columns = response.context["table"].columns
    assert [unescape(link) for link, _, _ in links] == [column.link for column in columns]
    assert [text.strip() for _, current, text in links if current] == ["Calls"]


@pytest.mark.usefixtures("calls")
def test_a_head_orders_by_its_column_and_a_second_time_the_other_way(superadmin: Client) -> None:
    links = read(superadmin.get(SUPERADMIN, {"sort": "-requests", "days": "7"})).links
    assert (links["Calls ▾"], links["Input"], links["Model"]) == (
        "?days=7&sort=requests",
        "?days=7&sort=-prompt_tokens",
        "?days=7&sort=name",
    )


def test_rows_beyond_25_are_one_row_that_leads_to_its_calls(superadmin: Client, acme: Organization) -> None:
    enter(*(row(acme, agent_id=f"agent-{number:02}", cost_usd=Decimal(100 - number)) for number in range(40)))
    response = superadmin.get(SUPERADMIN, {"group": "agent_id"})
    assert names(response) == [*(f"agent-{number:02}" for number in range(25)), "all others", "Total"]
    others = table(response)[26]
    assert (others[2], others[-1]) == ("15", f"{sum(100 - number for number in range(25, 40)):,}.00")
    links = {text: link for link, text in links_of(response, "all others")}
    assert counted(links["15"], "requests_count") == 15
    assert counted(links["1,020.00"], "cost_usd") == 1020
    everything = superadmin.get(SUPERADMIN + read(response).links["Show all rows"])
    assert names(everything) == [*(f"agent-{number:02}" for number in range(40)), "Total"]
    assert "Show all rows" not in read(everything).links


def test_one_row_more_is_shown_rather_than_all_others(superadmin: Client, acme: Organization) -> None:
    enter(*(row(acme, agent_id=f"agent-{number:02}") for number in range(26)))
    assert "all others" not in names(superadmin.get(SUPERADMIN, {"group": "agent_id"}))


def test_others_keep_the_exclusions_that_the_page_has(superadmin: Client, acme: Organization) -> None:
    enter(*(row(acme, agent_id=f"agent-{number:02}", cost_usd=Decimal(100 - number)) for number in range(40)))
    response = superadmin.get(SUPERADMIN, {"group": "agent_id", "agent_id!": "agent-00"})
    links = {text: link for link, text in links_of(response, "all others")}
    assert counted(links["14"], "requests_count") == 14


def test_models_of_one_name_from_two_providers_are_not_excluded_together(
    superadmin: Client, acme: Organization
) -> None:
    models = [("openai", f"model-{number:02}") for number in range(30)]
    enter(
        *(row(acme, ai_provider=provider, ai_model=model, cost_usd=Decimal(100 - number))
          for number, (provider, model) in enumerate(models)),
        row(acme, ai_provider="azure", ai_model="model-00", cost_usd=Decimal(1)),
    )  # fmt: skip
    links = [link for link, text in links_of(superadmin.get(SUPERADMIN), "all others") if text == "6"]
    assert links == []  # no filter leaves out one of both


@pytest.mark.usefixtures("calls")
def test_names_narrow_the_page(superadmin: Client) -> None:
    links = read(superadmin.get(SUPERADMIN, {"days": "7"})).links
    assert links["other"] == "?days=7&ai_provider=anthropic&ai_model=other"
    assert names(superadmin.get(SUPERADMIN + links["other"])) == ["other", "Total"]


# ── The chart ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("calls")
def test_numbers_of_the_chart_as_a_table_and_its_links(superadmin: Client) -> None:
    page = read(superadmin.get(SUPERADMIN, {"days": "3"}))
    assert BY_STEP not in page.tables
    response = superadmin.get(SUPERADMIN + page.links["Numbers by day"])
    assert read(response).tables[BY_STEP] == [
        ["Day", "Total", "large", "small", "other"],
        ["18 May 2026", "0.50", "0", "0.50", "0"],
        ["19 May 2026", "1.00", "0", "1.00", "0"],
        ["20 May 2026 not over yet", "6.25", "6.00", "—", "0.25"],
    ]
    cells = re.findall(r'<td class="number"><a href="([^"]+)">([\d.]+)</a>', response.content.decode())
    assert [counted(link, "cost_usd") for link, _ in cells] == [Decimal(text) for _, text in cells]
    assert len(cells) == 7


@pytest.mark.usefixtures("calls")
def test_a_part_of_the_chart_replaces_filters_of_the_same_name(superadmin: Client) -> None:
    response = superadmin.get(SUPERADMIN, {"days": "3", "ai_model": ["large", "small"], "numbers": "show"})
    cells = re.findall(r'<td class="number"><a href="([^"]+)">([\d.]+)</a>', response.content.decode())
    assert [counted(link, "cost_usd") for link, _ in cells] == [Decimal(text) for _, text in cells]


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    ("metric", "is_stacked", "total"),
    [
        ("cost", True, "7.75"),
        ("requests", True, "6"),
        ("total_tokens", True, "1,520"),
        ("prompt_tokens", True, "1,400"),
        ("completion_tokens", True, "120"),
        ("cached_tokens", True, "0"),
        ("cache_write_tokens", True, "0"),
        ("reasoning_tokens", True, "0"),
        ("errors", True, "1"),
        ("average_time", False, "1.50\u00a0s"),
        ("p95_time", False, "8.70\u00a0s"),
        ("cost_per_call", False, "1.55"),
    ],
)
def test_each_metric_is_drawn_and_totalled(superadmin: Client, metric: str, is_stacked: bool, total: str) -> None:
    response = superadmin.get(SUPERADMIN, {"metric": metric})
    text = response.content.decode()
    drawn = {kind: bool(re.search(rf'<path class="{kind} c\d', text)) for kind in ("layer", "line")}
    assert drawn == {"layer": is_stacked, "line": not is_stacked}
    head = next(place for place, name in enumerate(table(response)[0]) if name.endswith("▾"))
    assert table(response)[-1][head].removesuffix(" 1 unpriced") == total


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    ("query", "steps", "first"),
    [
        ({"days": "7", "step": "hour"}, 6 * 24 + 16, "14 May 2026, 00:00"),
        ({"days": "30"}, 30, "21 Apr 2026"),
        ({"days": "30", "step": "week"}, 5, "20 Apr 2026"),
        ({"days": "30", "step": "month"}, 2, "1 Apr 2026"),
        ({"days": "90"}, 90, "20 Feb 2026"),
        ({"days": "365"}, 53, "19 May 2025"),
    ],
)
def test_steps(superadmin: Client, query: dict[str, str], steps: int, first: str) -> None:
    rows = read(superadmin.get(SUPERADMIN, {**query, "numbers": "show"})).tables[BY_STEP][1:]
    assert (len(rows), rows[0][0]) == (steps, first)


def test_an_hour_is_no_step_of_a_month(superadmin: Client, acme: Organization) -> None:
    enter(row(acme))
    response = superadmin.get(SUPERADMIN, {"days": "30", "step": "hour", "numbers": "show"})
    assert "At most 7 days can be shown by hour: the step is a day here." in response.content.decode()
    assert len(read(response).tables[BY_STEP]) == 31


@pytest.mark.usefixtures("calls")
def test_compared_with_the_period_before_any_other_and_none(superadmin: Client) -> None:
    before = superadmin.get(SUPERADMIN).content.decode()
    assert "The dashed line is 22 Mar 2026 – 20 Apr 2026." in before
    assert 'class="line compared" d="M' in before
    other = superadmin.get(SUPERADMIN, {"compare_from": "2026-04-19", "compare_to": "2026-04-19"})
    assert "The dashed line is 19 Apr 2026 – 19 Apr 2026." in other.content.decode()
    assert table(other)[1][-2] == "+100%"
    none = superadmin.get(SUPERADMIN, {"compare": "none"})
    assert "dashed line" not in none.content.decode()
    assert "Change" not in table(none)[0]


def test_nothing_is_compared_with_a_time_without_data(superadmin: Client, acme: Organization) -> None:
    enter(row(acme))
    response = superadmin.get(SUPERADMIN)
    assert table(response)[-1][-2] == "—"
    text = response.content.decode()
    assert "There is nothing to compare with: the data do not reach back to 22 Mar 2026." in text
    assert "dashed line" not in text


@pytest.mark.usefixtures("calls")
def test_patterns_are_an_option(superadmin: Client) -> None:
    plain, with_patterns = (superadmin.get(SUPERADMIN, query).content.decode() for query in ({}, {"patterns": "1"}))
    assert "With patterns" in plain
    assert "Without patterns" in with_patterns
    filled = re.findall(r'<path class=" c\d+" d="[^"]+" fill="url\(#(pattern-c\d+-\d)\)"', with_patterns)
    assert len(filled) == len(set(filled)) == 3
    assert all(f'<pattern id="{name}"' in with_patterns for name in filled)
    assert 'fill="url(#pattern' not in plain or len(set(re.findall(r"layer (c\d+)", plain))) < 3


# ── Controls and parameters ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("calls")
def test_menus_keep_what_else_is_chosen(superadmin: Client) -> None:
    links = read(superadmin.get(SUPERADMIN, {"group": "tag.feature", "then": "ai_model", "step": "week"})).links
    assert links["p95 time"] == "?group=tag.feature&then=ai_model&step=week&metric=p95_time"
    assert links["Month"] == "?group=tag.feature&then=ai_model&step=month"
    assert links["tag: feature"]  # offered because a call has it
    # The second group as the first one: they change places.
    assert "?step=week&group=ai_model&then=tag.feature" in superadmin.get(
        SUPERADMIN, {"group": "tag.feature", "then": "ai_model", "step": "week"}
    ).content.decode().replace("&amp;", "&")


def test_a_typed_tag_becomes_the_group(superadmin: Client) -> None:
    response = superadmin.get(SUPERADMIN, {"days": "7", "group_tag": "env"})
    assert (response.status_code, response["Location"]) == (302, "?days=7&group=tag.env")


@pytest.mark.parametrize("query", [{"group": "workflow_id"}, {"group": "agent_id", "then": "content_id"}])
def test_workflows_and_content_of_too_many_calls_are_not_added_up(
    superadmin: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    """The calls of both periods are counted, and only those that the filters leave."""
    enter(*(row(acme, workflow_id="w", content_id="c", created_at=NOON - timedelta(days=n)) for n in (0, 31, 70)))
    monkeypatch.setattr(explore_choice, "MOST_CALLS_BY_WORKFLOW", 1)
    said = "Workflows and content are added up from single calls, at most 1 of both periods"
    response = superadmin.get(SUPERADMIN, query)
    assert said in response.content.decode()
    assert table(response)[0][:2] == ["Model", "Share"]
    for narrower in ({"compare": "none"}, {"days": "10"}):
        response = superadmin.get(SUPERADMIN, {**query, **narrower})
        assert said not in response.content.decode()
        assert {"w", "c"} & {*table(response)[1][:2]}


def test_of_many_workflows_only_those_of_the_rows_are_read_before(
    superadmin: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explore_data, "ROWS", 1)
    before = NOON - timedelta(days=31)
    enter(*(row(acme, workflow_id=f"w{n}", created_at=at) for n in range(5) for at in (NOON, before)))
    enter(*(row(acme, workflow_id=f"gone{n}", created_at=before) for n in range(5)))
    page = Page(
        superadmin.get(SUPERADMIN).wsgi_request,
        "explore",
        EVERYTHING,
        parse(QueryDict("group=workflow_id&rows=all"), NOON.date(), ExploreSerializer),
        NOON,
    )
    found = explore_data.read(page, explore_choice.choice_of(page))
    assert {row["workflow_id"] for row in found.rows_before.values()} == {f"w{n}" for n in range(5)}


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ({"metric": "profit"}, "metric=profit"),
        ({"group": "colour"}, "Known values: request_type, ai_model,"),
        ({"group": "tag." + "x" * 41}, "The key of a tag has 1 to 40 letters"),
        ({"then": "ai_model"}, "The first group is this one already."),
        ({"compare_from": "2026-05-01"}, "Give “compare_to” as well"),
        ({"compare_from": "2026-05-02", "compare_to": "2026-05-01"}, "This day is before “compare_from”."),
        ({"sort": "-colour"}, "sort=-colour"),
        ({"step": "minute"}, "step=minute"),
    ],
)
def test_a_wrong_parameter_is_left_out_and_named(
    superadmin: Client, acme: Organization, query: dict[str, str], hint: str
) -> None:
    enter(row(acme))
    response = superadmin.get(SUPERADMIN, query)
    assert hint in unescape(response.content.decode())
    assert names(response) == ["gpt-5-mini", "Total"]


# ── Who sees what ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("calls")
def test_owner_explores_their_organisation_alone(
    superadmin: Client, owner_of: Callable[..., Client], acme: Organization
) -> None:
    assert "other" in names(superadmin.get(SUPERADMIN))
    client = owner_of(acme)
    response = client.get(OWN)
    assert names(response) == ["large", "small", "Total"]
    assert table(response)[-1][-1] == "7.00 1 unpriced"
    assert "Globex" not in response.content.decode()
    by_org = client.get(OWN, {"group": "org"})
    assert names(by_org) == ["Acme", "Total"]
    link = next(link for link, text in links_of(response, "large") if text == "6.00")
    assert counted(link, "cost_usd", of_organization(acme.pk)) == 6


@pytest.mark.usefixtures("calls")
def test_member_explores_their_own_calls(member_of: Callable[..., Client], acme: Organization) -> None:
    client = member_of(acme)
    misha = User.objects.get(username="misha")
    enter(row(acme, user_id=misha.pk, ai_model="mine", cost_usd=Decimal("0.125")))
    assert names(client.get(OWN)) == ["mine", "Total"]
    assert "large" not in client.get(OWN, {"format": "csv"}).content.decode()


def test_an_empty_page_tells_each_person_what_to_do(
    superadmin: Client, owner_of: Callable[..., Client], member_of: Callable[..., Client], acme: Organization
) -> None:
    assert "manage.py demo" in superadmin.get(SUPERADMIN).content.decode()
    owner, member = owner_of(acme).get(OWN).content.decode(), member_of(acme).get(OWN).content.decode()
    assert f"usage_context(org={acme.pk})" in owner
    assert "AI calls that you make yourself" in member
    assert ["manage.py" in text for text in (owner, member)] == [False, False]
    assert "No calls match" in superadmin.get(SUPERADMIN, {"agent_id": "nobody"}).content.decode()


def test_a_person_without_an_organisation_is_told_so(member_of: Callable[..., Client]) -> None:
    assert "You belong to no organisation yet" in member_of().get(OWN).content.decode()


def test_an_owner_comes_to_no_page_of_superadmins(owner_of: Callable[..., Client], acme: Organization) -> None:
    assert owner_of(acme).get(SUPERADMIN, {"format": "csv"}).status_code == 403


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("calls")
def test_the_table_as_csv(superadmin: Client) -> None:
    response = superadmin.get(SUPERADMIN, {"format": "csv", "then": "agent_id"})
    assert response["Content-Disposition"] == 'attachment; filename="ai-costs-rows-2026-04-21-2026-05-20.csv"'
    rows = list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))
    heads = ["Model", "Agent", "ai_provider", "ai_model", "agent_id", "Calls", "Input tokens", "Output tokens"]
    assert rows[0] == [*heads, "Average time", "p95 time", "Cost per call", "Share", "Change", "Unpriced", "USD"]
    assert rows[1][:6] == ["large", "legal_guard", "openai", "large", "legal_guard", "2"]
    assert (rows[1][-4], rows[1][-2:]) == ("0.774194", ["0", "6"])
    assert [line[0] for line in rows[1:]] == ["large", "small", "small", "other", "Total"]
    assert rows[-1][-2:] == ["1", "7.75"]


@pytest.mark.usefixtures("calls")
def test_csv_is_for_a_spreadsheet_of_the_reader(superadmin: Client) -> None:
    response = superadmin.get(SUPERADMIN, {"format": "csv"}, headers={"Accept-Language": "ru"})
    assert ";7,75\r\n" in response.content.decode()


@pytest.mark.usefixtures("calls")
def test_the_table_as_json_lines_has_the_names_of_the_api(superadmin: Client) -> None:
    response = superadmin.get(SUPERADMIN, {"format": "jsonl", "metric": "requests", "currency": "rub"})
    lines = [json.loads(line) for line in response.content.decode().splitlines()]
    assert lines[0] == {
        "ai_model_name": "small",
        "ai_provider": "openai",
        "ai_model": "small",
        "requests_count": 3,
        "prompt_tokens": 300,
        "completion_tokens": 60,
        "average_time_ms": "5",
        "p95_time_ms": "152",
        "average_cost_rub": "40",
        "share": "0.5",
        "change": None,
        "unpriced_rub_count": 1,
        "cost_rub": "80",
    }
    assert [line["requests_count"] for line in lines] == [3, 2, 1, 6]


@pytest.mark.usefixtures("calls")
def test_the_table_as_a_workbook(superadmin: Client) -> None:
    response = superadmin.get(SUPERADMIN, {"format": "xlsx"})
    with zipfile.ZipFile(io.BytesIO(response.content)) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<v>7.75</v>" in sheet
    assert ">large<" in sheet
    assert sheet.count("<row ") == 5


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("kind", ["csv", "jsonl", "xlsx"])
def test_the_numbers_of_the_chart_as_a_file(superadmin: Client, kind: str) -> None:
    response = superadmin.get(SUPERADMIN, {"format": kind, "table": "steps", "days": "3"})
    if kind == "csv":
        rows = list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))
        assert rows == [
            ["Beginning", "Cost", "large", "small", "other"],
            ["2026-05-18", "0.5", "0", "0.5", "0"],
            ["2026-05-19", "1", "0", "1", "0"],
            ["2026-05-20", "6.25", "6", "", "0.25"],
        ]
    elif kind == "jsonl":
        assert json.loads(response.content.decode().splitlines()[-1]) == {
            "date": "2026-05-20",
            "cost_usd": "6.25",
            "series": [
                {"name": "large", "cost_usd": "6"},
                {"name": "small", "cost_usd": None},
                {"name": "other", "cost_usd": "0.25"},
            ],
        }
    else:
        with zipfile.ZipFile(io.BytesIO(response.content)) as book:
            assert book.read("xl/worksheets/sheet1.xml").decode().count("<row ") == 4


@pytest.mark.usefixtures("calls")
def test_a_name_is_no_formula_in_a_file(superadmin: Client, acme: Organization) -> None:
    enter(row(acme, agent_id="=1+1", cost_usd=Decimal("9")))
    rows = superadmin.get(SUPERADMIN, {"format": "csv", "group": "agent_id"}).content.decode()
    assert "\r\n'=1+1," in rows


@pytest.mark.usefixtures("calls")
def test_too_many_files_at_a_time_are_refused(superadmin: Client) -> None:
    root = User.objects.get(username="root")
    taken = [export_slots.take(root) for _ in range(export_slots.EXPORTS_PER_USER)]
    response = superadmin.get(SUPERADMIN, {"format": "csv"})
    assert (response.status_code, response["Retry-After"]) == (429, "30")
    for slot in taken:
        slot.close()
    assert superadmin.get(SUPERADMIN, {"format": "csv"}).status_code == 200


# ── Cost of the page ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("calls")
def test_the_page_asks_few_questions(superadmin: Client, django_assert_num_queries: Any) -> None:
    superadmin.get(SUPERADMIN)
    session_and_user = 2
    # Views, keys of tags; series of both periods, rows of both, the series of the groups, the first day.
    with django_assert_num_queries(scope_queries.of_a_superadmin() + session_and_user + 8):
        superadmin.get(SUPERADMIN)


def test_a_quarter_by_two_groups_stays_below_150_kb(superadmin: Client, acme: Organization) -> None:
    enter(
        *(
            row(
                acme,
                ai_model=f"a-model-of-{n % 12}",
                agent_id=f"agent-{n % 7}",
                created_at=NOON - timedelta(days=n % 90),
            )
            for n in range(1200)
        )
    )
    response = superadmin.get(SUPERADMIN, {"days": "90", "then": "agent_id"})
    assert len(names(response)) == 25 + 2
    assert len(response.content) < 150_000


@pytest.mark.usefixtures("calls")
def test_many_rows_stay_small(superadmin: Client, acme: Organization) -> None:
    enter(*(row(acme, agent_id=f"a-long-name-of-an-agent-{number:03}") for number in range(300)))
    response = superadmin.get(SUPERADMIN, {"group": "agent_id", "rows": "all"})
    assert len(names(response)) == 300 + 3
    assert len(response.content) < 400_000


@pytest.mark.usefixtures("calls")
def test_the_page_has_no_style_and_no_script_inline(superadmin: Client) -> None:
    text = superadmin.get(SUPERADMIN, {"patterns": "1", "numbers": "show"}).content.decode()
    assert " style=" not in text
    assert not re.search(r"<script(?![^>]*src=)", text)
