"""The totals in SQL are those of `reports`, for whoever asks."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tests.support import factories
from tests.support.factories import event
from usage_billing import reports
from usage_billing.ledger import consistency, writer
from usage_billing.models import Membership, UsageRecord
from usage_billing.reports import Period
from usage_billing.tenancy.scope import scoped

pytestmark = pytest.mark.django_db


class World:
    def __init__(self) -> None:
        now = timezone.now()
        self.today = now.astimezone(factories.organization().zone).date()
        factories.rate(self.today)
        self.org, self.other = factories.organization(), factories.organization()
        self.owner, self.member = factories.owner(self.org), factories.member(self.org)
        Membership.objects.create(org=self.other, user=self.owner, role="member")
        self.admin = factories.superadmin()
        for org in (self.org, self.other):
            writer.add(
                [
                    event(org=org, user=self.owner, at=now, attribution={"request_type": "x", "tags": {"env": "prod"}}),
                    event(org=org, user=self.member, at=now, attribution={"request_type": "y"}),
                    event(org=org, at=now, model="gpt-99", attribution={"request_type": "z"}),
                    event(org=org, at=now - timedelta(days=5), attribution={"request_type": "x"}),
                    event(org=org, at=now - timedelta(days=6), user=self.owner, flavour="messages",
                          url=factories.MESSAGES, model="claude-haiku-4-5", attribution={"request_type": "x"}),
                    event(org=org, at=now - timedelta(days=40), attribution={"request_type": "x"}),
                ]
            )  # fmt: skip


@pytest.fixture
def world() -> World:
    return World()


def asked(function: str, *values: Any) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {function}({', '.join(['%s'] * len(values))})", values)
        assert cursor.description is not None
        row = dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))
        # Django leaves JSON as text, for its own field to read.
        return row | {"by_request_type": json.loads(row["by_request_type"])}


@pytest.mark.postgres
@pytest.mark.parametrize("who", ["admin", "owner", "member"])
@pytest.mark.parametrize("days", [1, 6, 7, 90])
@pytest.mark.parametrize("whose", [None, "org", "other"])
@pytest.mark.parametrize("provider", [None, "openai"])
def test_the_summaries_are_those_of_reports(
    world: World, who: str, days: int, whose: str | None, provider: str | None
) -> None:
    function = "get_openai_cost_summary" if provider else "get_ai_cost_summary"
    org_id = None if whose is None else getattr(world, whose).pk
    with scoped(getattr(world, who)) as scope:
        found = asked(function, org_id, days)
        filters = {"ai_provider": provider} if provider else {}
        filters |= {"org_id": org_id} if org_id else {}
        period = Period.of_days(days, world.today)
        (total,) = reports.totals(scope, filters=filters, period=period)
        types = reports.totals(scope, by=["request_type"], filters=filters, period=period)
    assert {name: found[f"total_{name}"] for name in ("requests", "tokens")} == {
        "requests": total["requests_count"],
        "tokens": total["total_tokens"],
    }
    assert (found["total_cost_usd"], found["total_cost_rub"]) == (total["cost_usd"], total["cost_rub"])
    assert {type_: values["requests"] for type_, values in found["by_request_type"].items()} == {
        row["request_type"]: row["requests_count"] for row in types
    }
    for name, measure in (("unpriced", "unpriced_usd_count"), ("unpriced_rub", "unpriced_rub_count")):
        assert {type_: values[name] for type_, values in found["by_request_type"].items()} == {
            row["request_type"]: row[measure] for row in types
        }


@pytest.mark.postgres
def test_an_amount_of_which_nothing_is_known_is_null(world: World) -> None:
    with scoped(world.admin):
        types = asked("get_ai_cost_summary", None, 1)["by_request_type"]
        nothing_known = {"cost_usd": None, "cost_rub": None, "unpriced": 2, "unpriced_rub": 2}
        assert types["z"] == {"requests": 2, "tokens": 2200, **nothing_known}
        UsageRecord.objects.count()
    with scoped(factories.owner(factories.organization())):
        nothing = asked("get_ai_cost_summary", None, 30)
    assert nothing == {
        "total_requests": 0,
        "total_tokens": 0,
        "total_cost_usd": 0,
        "total_cost_rub": 0,
        "by_request_type": {},
    }


@pytest.mark.postgres
def test_refresh_makes_a_range_of_totals_anew(world: World) -> None:
    def differing() -> int:
        return sum(len(consistency.differences(day)) for day in consistency.days())

    assert differing() == 0
    with connection.cursor() as cursor:
        cursor.execute("UPDATE token_usage_daily SET cost_usd = cost_usd + 1")
        in_one_table = differing()
        cursor.execute("UPDATE token_usage_tag_daily SET time_le_1280 = time_le_1280 + 1")
        assert differing() > in_one_table > 0
        cursor.execute("SELECT refresh_token_usage_daily(%s, %s)", [world.today - timedelta(days=60), world.today])
    assert differing() == 0


def test_the_view_has_the_columns_of_the_contract(world: World) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM openai_api_logs")
        assert cursor.description is not None
        columns = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
    assert columns == [
        "org_id", "request_type", "model", "prompt_tokens", "completion_tokens", "total_tokens", "cost_usd",
        "cost_rub", "metadata", "created_by", "created_at",
    ]  # fmt: skip
    assert len(rows) == UsageRecord.objects.filter(ai_provider="openai").count() == 10
