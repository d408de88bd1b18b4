"""Breakdowns by tag, by a second dimension, and in any order; lists and exports with tags."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.support import factories
from tests.support.api_world import BILLING, ask
from tests.support.rows import enter, row
from tests.usage_billing.api.test_schema import errors
from usage_billing.api import sheets
from usage_billing.models import Organization

pytestmark = pytest.mark.django_db
PERIOD = {"from": "2026-05-19", "to": "2026-05-21"}


@pytest.fixture
def org() -> Organization:
    """Calls of a search, of a chat, and of nothing named: 1 to 6 USD."""
    org = factories.organization("Acme")
    tags: list[dict[str, str]] = [{"feature": "search", "env": "prod"}, {"feature": "chat"}, {}]
    enter(
        *(
            row(
                org,
                tags=tags[n % 3],
                cost_usd=Decimal(n + 1),
                prompt_tokens=1000 - n,
                agent_id=f"agent-{n % 2}",
                execution_time_ms=200 * (n + 1),
                content_id="post" if n < 2 else None,
                error_code="overloaded" if n == 5 else "",
                status="failed" if n == 5 else "succeeded",
            )
            for n in range(6)
        )
    )
    return org


@pytest.fixture
def client(org: Organization) -> APIClient:
    client = APIClient()
    client.force_authenticate(factories.owner(org, "owner"))
    return client


@pytest.fixture(scope="module")
def schema() -> Any:
    return APIClient().get("/api/schema").json()


def test_a_breakdown_by_tag_adds_up_to_the_total(client: APIClient) -> None:
    data = ask(client, "by-tag", key="feature", **PERIOD)
    items = {item["value"]: item["cost_usd"] for item in data["items"]}
    assert (data["key"], items, data["total"]["cost_usd"]) == ("feature", {"": "9", "chat": "7", "search": "5"}, "21")
    assert {item["is_other"] for item in data["items"]} == {False}


def test_the_key_of_the_tag_is_needed(client: APIClient) -> None:
    for query in ({}, {"key": ""}, {"key": "a b"}):
        answer = client.get(f"{BILLING}/by-tag", query)
        assert (answer.status_code, set(answer.json()["error"]["details"])) == (400, {"key"})


@pytest.mark.parametrize(
    ("report", "query", "then"),
    [
        ("by-agent", {"then_by": "tag.feature"}, {"tag.feature": "", "is_other": False}),
        ("by-tag", {"key": "feature", "then_by": "user"}, {"user": None, "username": None}),
        ("by-tag", {"key": "feature", "then_by": "tag.env"}, {"tag.env": "", "is_other": False}),
        ("by-user", {"then_by": "ai_model"}, {"ai_provider": "openai", "ai_model": "gpt-5-mini"}),
        ("by-content", {"then_by": "status"}, {"status": "succeeded"}),
        ("by-status", {}, None),
    ],
)
def test_items_are_divided_by_a_second_dimension(
    client: APIClient, schema: Any, report: str, query: dict[str, str], then: Any
) -> None:
    answer = client.get(f"{BILLING}/{report}", {**query, **PERIOD})
    assert errors(schema, f"usage_{report.replace('-', '_')}", answer) == []
    items = answer.json()["data"]["items"]
    assert sum(Decimal(item["cost_usd"]) for item in items) == 21
    assert then in [item["then"] for item in items]


def test_the_second_dimension_is_another_one(client: APIClient) -> None:
    for report, name in (("by-agent", "agent_id"), ("by-model", "ai_provider")):
        answer = client.get(f"{BILLING}/{report}", {"then_by": name})
        assert (answer.status_code, set(answer.json()["error"]["details"])) == (400, {"then_by"})


@pytest.mark.parametrize(
    ("ordering", "first"),
    [
        ("-cost_usd", "agent-1"),
        ("cost_usd", "agent-0"),
        ("-total_tokens", "agent-0"),
        ("-average_time_ms", "agent-1"),
        ("p95_time_ms", "agent-0"),
        ("-failed_count", "agent-1"),
        ("-average_cost_usd", "agent-1"),
        ("-unpriced_count", "agent-0"),
    ],
)
def test_items_come_in_the_order_asked_for(client: APIClient, ordering: str, first: str) -> None:
    items = ask(client, "by-agent", ordering=ordering, **PERIOD)["items"]
    assert items[0]["agent_id"] == first
    assert ask(client, "by-agent", ordering=ordering, limit=1, **PERIOD)["items"][0]["agent_id"] == first


def test_filters_by_tag_hold_in_every_report(client: APIClient) -> None:
    for query, cost in (
        ({"tag.feature": "search"}, "5"),
        ({"tag.feature": ["search", "chat"]}, "12"),
        ({"tag.feature!": "search"}, "16"),
        ({"tag.feature": ""}, "9"),
        ({"tag.feature": "search", "tag.env": "prod"}, "5"),
        ({"tag.feature!": ["search", ""]}, "7"),
    ):
        assert ask(client, "summary", **query)["all_time"]["cost_usd"] == cost
        assert ask(client, "by-model", **query, **PERIOD)["total"]["cost_usd"] == cost
        listed = ask(client, "detailed", **query)
        assert sum(Decimal(call["cost_usd"]) for call in listed["items"]) == Decimal(cost)
        assert (listed["total"]["cost_usd"], listed["count"]) == (cost, len(listed["items"]))


def test_filters_of_single_calls(client: APIClient, org: Organization) -> None:
    enter(row(org, cost_rub=None, usd_rub_rate=None), row(org, cost_usd=None, cost_rub=None, price_source="unpriced:x"))
    for query, count in (
        ({"unpriced": "usd"}, 1),
        ({"unpriced": "rub"}, 2),
        ({"unpriced!": "rub"}, 6),
        ({"error_code": "overloaded"}, 1),
        ({"price_source!": "test"}, 1),
    ):
        data = ask(client, "detailed", **query)
        assert (data["count"], len(data["items"]), data["total"]["requests_count"]) == (count, count, count)


def test_history_by_hour_names_the_hour(client: APIClient, schema: Any) -> None:
    answer = client.get(f"{BILLING}/history", {"step": "hour", "from": "2026-05-20", "to": "2026-05-20"})
    assert errors(schema, "usage_history", answer) == []
    items = answer.json()["data"]["items"]
    assert len(items) == 24
    assert [item["hour"] for item in items if item["requests_count"]] == ["2026-05-20T15:00:00+03:00"]
    answer = client.get(f"{BILLING}/history", {"step": "hour", "days": "8"})
    assert (answer.status_code, set(answer.json()["error"]["details"])) == (400, {"step"})
    assert len(ask(client, "history", step="hour")["items"]) > 24


def test_exports_have_the_tags(client: APIClient) -> None:
    def export(kind: str) -> bytes:
        return b"".join(client.get(f"{BILLING}/export", {"format": kind, "tag.feature": "search"}))

    first = json.loads(export("jsonl").splitlines()[0])
    assert first["tags"] == {"feature": "search", "env": "prod"}
    header, line, *_ = export("csv").decode().lstrip("\ufeff").splitlines()
    assert header.endswith(",tags")
    (cells,) = csv.reader([line])
    assert json.loads(cells[-1]) == {"feature": "search", "env": "prod"}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "xlsx"])
def test_a_table_is_one_file(kind: str) -> None:
    content = sheets.table(kind, ["Agent", "USD"], [["=1+1", Decimal("0.50")], [None, None]])
    if kind == "csv":
        assert content.decode() == "\ufeffAgent,USD\r\n'=1+1,0.5\r\n,\r\n"
    elif kind == "jsonl":
        lines = [json.loads(line) for line in content.splitlines()]
        assert lines == [{"Agent": "=1+1", "USD": "0.5"}, {"Agent": None, "USD": None}]
    else:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            assert "=1+1" in book.read("xl/worksheets/sheet1.xml").decode()
