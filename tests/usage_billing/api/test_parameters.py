"""Query parameters: what they mean, and how it is said that they are wrong."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.http import QueryDict
from hypothesis import example, given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError
from rest_framework.test import APIClient

from tests.support import factories
from tests.support.api_world import BILLING, REPORTS
from usage_billing.api import parameters
from usage_billing.api.filters import OF_SINGLE_CALLS
from usage_billing.reports import ORDERINGS, Excluded, Period
from usage_billing.tenancy.scope import Scope

NOW = datetime(2026, 11, 18, 22, 30, tzinfo=UTC)
"""In Moscow the next day has begun."""
TODAY = date(2026, 11, 19)
MOST = 2**63 - 1

SERIALIZERS = {
    "summary": parameters.SummarySerializer,
    "history": parameters.HistorySerializer,
    "breakdown": parameters.BreakdownSerializer,
    "detailed": parameters.DetailedSerializer,
    "export": parameters.ExportSerializer,
}


def asked(query: str, of: str = "detailed") -> parameters.ReportParameters:
    return parameters.report_parameters(SERIALIZERS[of], QueryDict(query), Scope(zone="Europe/Moscow"), NOW)


def wrong(query: str, of: str = "detailed") -> set[str]:
    """The parameters that are complained about."""
    with pytest.raises(ValidationError) as refused:
        asked(query, of)
    assert isinstance(refused.value.detail, dict)
    return set(refused.value.detail)


def test_filters_are_by_column() -> None:
    filters = {
        "org": 7, "user": MOST, "agent_id": "", "ai_provider": "openai", "ai_model": " gpt ", "request_type": "a b",
        "workflow_id": "w/1", "content_id": "'; --", "status": "failed",
        "provider_organization": "org-1", "provider_project": "", "api_key": "0123456789abcdef", "user_profile": "u",
    }  # fmt: skip
    query = QueryDict(mutable=True)
    query.update({name: str(value) for name, value in filters.items()})
    columns = {
        "org": "org_id",
        "user": "user_id",
        "api_key": "api_key_fingerprint",
        "user_profile": "provider_user_profile",
    }
    assert asked(query.urlencode()).filters == {columns.get(name, name): value for name, value in filters.items()}
    assert asked("").filters == {}


@pytest.mark.parametrize(
    ("query", "filters"),
    [
        ("agent_id=a&agent_id=b&agent_id=a", {"agent_id": {"a", "b"}}),
        ("agent_id=a&agent_id=a", {"agent_id": "a"}),
        ("agent_id!=a&agent_id!=", {"agent_id": Excluded(frozenset({"a", ""}))}),
        ("org=1&org=2&org!=2", {"org_id": 1}),
        ("user=1&user!=1", {"user_id": set()}),
        ("status=failed&status=aborted", {"status": {"failed", "aborted"}}),
        ("api_key!=k&workflow_id!=w", {
            "api_key_fingerprint": Excluded(frozenset({"k"})), "workflow_id": Excluded(frozenset({"w"}))
        }),
        ("tag.feature=search&tag.feature=&tag.env!=test", {
            "tag.feature": {"search", ""}, "tag.env": Excluded(frozenset({"test"}))
        }),
        ("tag.a.b:c-d_=1&tag.a.b:c-d_!=1", {"tag.a.b:c-d_": set()}),
        ("unpriced=usd&unpriced=rub", {"unpriced": {"usd", "rub"}}),
        ("error_code=&price_source!=test", {"error_code": "", "price_source": Excluded(frozenset({"test"}))}),
    ],
)  # fmt: skip
def test_a_filter_is_repeated_and_excluded(query: str, filters: dict[str, Any]) -> None:
    assert asked(query).filters == filters
    assert asked(query, "export").filters == filters


@pytest.mark.parametrize(
    ("query", "of", "names"),
    [
        ("agent_id=a&agent_id=" + "x" * 101, "detailed", {"agent_id"}),
        ("status=failed&status=lost", "detailed", {"status"}),
        ("status!=lost&org!=0", "detailed", {"status!", "org!"}),
        ("&".join(f"agent_id={n}" for n in range(101)), "detailed", {"agent_id"}),
        ("tag.=1", "detailed", {"tag."}),
        ("tag.a b=1&tag.c=1", "detailed", {"tag.a b"}),
        ("tag." + "k" * 41 + "=1", "detailed", {"tag." + "k" * 41}),
        ("tag.k=" + "v" * 101 + "&limit=0", "detailed", {"tag.k", "limit"}),
        ("&".join(f"tag.k{n}=1" for n in range(11)), "detailed", {"tag.k0"}),
        ("tag=1", "detailed", {"tag"}),
        ("limit!=1", "detailed", {"limit!"}),
        ("unpriced=eur", "detailed", {"unpriced"}),
        ("unpriced=usd", "breakdown", {"unpriced"}),
        ("error_code=1&price_source=1", "history", {"error_code", "price_source"}),
        ("ordering=usd", "breakdown", {"ordering"}),
        ("then_by=usage_date", "breakdown", {"then_by"}),
        ("then_by=tag.a b", "breakdown", {"then_by"}),
    ],
)
def test_a_wrong_value_of_a_filter_is_named(query: str, of: str, names: set[str]) -> None:
    assert wrong(query, of) == names


@pytest.mark.django_db
def test_an_organisation_may_be_named_by_its_slug() -> None:
    ours, theirs = factories.organization(), factories.organization()
    superadmin, owner = Scope(everything=True), Scope(owned_org_ids=frozenset({ours.pk}))

    def of(scope: Scope, query: str) -> Any:
        return parameters.report_parameters(parameters.DetailedSerializer, QueryDict(query), scope, NOW).filters

    assert of(owner, f"org={ours.slug}") == {"org_id": ours.pk}
    assert of(superadmin, f"org={ours.slug}&org={theirs.pk}") == {"org_id": {ours.pk, theirs.pk}}
    assert of(superadmin, f"org!={theirs.slug}") == {"org_id": Excluded(frozenset({theirs.pk}))}
    answers = []
    for slug in (theirs.slug, "no-such-org"):
        with pytest.raises(ValidationError) as refused:
            of(owner, f"org={slug}")
        answers.append(str(refused.value.detail["org"]).replace(slug, "…"))  # type: ignore[call-overload]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("query", "of", "period"),
    [
        ("", "summary", Period()),
        ("", "detailed", Period()),
        ("", "export", Period()),
        ("", "history", Period(date(2026, 10, 21))),
        ("", "breakdown", Period(date(2026, 10, 21))),
        ("days=1", "detailed", Period(TODAY)),
        ("period_days=7", "breakdown", Period(date(2026, 11, 13))),
        ("days=3660", "history", Period(date(2016, 11, 12))),
        ("to=2026-03-31", "detailed", Period(None, date(2026, 4, 1))),
        ("to=2026-03-31", "breakdown", Period(date(2026, 3, 2), date(2026, 4, 1))),
        ("to=2026-03-31&days=31", "detailed", Period(date(2026, 3, 1), date(2026, 4, 1))),
        ("from=2026-03-01", "breakdown", Period(date(2026, 3, 1))),
        ("from=2026-03-01&to=2026-03-01", "export", Period(date(2026, 3, 1), date(2026, 3, 2))),
        ("to=2000-01-01&days=3660", "history", Period(date(1989, 12, 25), date(2000, 1, 2))),
    ],
)
def test_the_period(query: str, of: str, period: Period) -> None:
    assert asked(query, of).period == period


@pytest.mark.parametrize(
    ("query", "of", "names"),
    [
        *((f"{name}={value}", "detailed", {name})
          for name in ("org", "user") for value in ("", "0", "-1", "1.5", "1x ", str(MOST + 1), "9" * 2000, "1%00")),
        *((f"{name}=", "detailed", {name}) for name in ("workflow_id", "content_id", "workflow_id!")),
        *((f"{name}={'x' * 201}", "detailed", {name})
          for name in ("agent_id", "ai_provider", "ai_model", "request_type", "workflow_id", "content_id")),
        *((f"{name}=a%00b", "detailed", {name})
          for name in ("agent_id", "ai_provider", "ai_model", "request_type", "workflow_id", "content_id", "cursor")),
        *((f"status={value}", "detailed", {"status"}) for value in ("", "SUCCEEDED", "lost", "failed%20")),
        *((f"{name}={value}", "history", {name})
          for name in ("days", "period_days") for value in ("", "0", "-7", "3661", "7d", "1e1")),
        *((f"{name}={value}", "detailed", {name}) for name in ("from", "to")
          for value in ("", "yesterday", "2026-02-30", "31.01.2026", "1999-12-31", "2200-01-01", "2026-01-01T00:00")),
        *((f"limit={value}", of, {"limit"}) for of in ("detailed", "breakdown") for value in ("", "0", "-1", "1001")),
        *((f"offset={value}", "detailed", {"offset"}) for value in ("", "-1", "100001")),
        *((f"ordering={value}", "detailed", {"ordering"}) for value in ("", "id", "--created_at", "cost_usd,id")),
        *((f"step={value}", "history", {"step"}) for value in ("", "year", "DAY")),
        *((f"format={value}", "export", {"format"}) for value in ("", "json", "xls", "api")),
        *((f"cursor={value}", "detailed", {"cursor"}) for value in ("", "x", "bnVsbA", "%D1%8B", "x" * 501)),
        # Contradictions.
        ("from=2026-03-02&to=2026-03-01", "detailed", {"to"}),
        ("days=7&period_days=7", "breakdown", {"days"}),
        ("days=7&from=2026-03-01", "breakdown", {"days"}),
        ("period_days=7&from=2026-03-01", "breakdown", {"period_days"}),
        ("from=2010-01-01", "history", {"from"}),
        ("from=2010-01-01&to=2020-01-10", "history", {"from"}),
        # Unknown parameters, parameters of another report, repeated parameters.
        ("page=2", "detailed", {"page"}),
        ("Org=1", "detailed", {"Org"}),
        ("limit=5", "summary", {"limit"}),
        ("format=csv", "detailed", {"format"}),
        ("cursor=x&offset=1&step=day", "summary", {"cursor", "offset", "step"}),
        ("days=1&days=1", "history", {"days"}),
        # All of them at once.
        ("org=1.5&days=0&status=lost&status=failed&ai_model!=" + "x" * 201, "detailed",
         {"org", "days", "status", "ai_model!"}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(query: str, of: str, names: set[str]) -> None:
    assert wrong(query, of) == names


def test_a_history_as_long_as_it_may_be() -> None:
    assert asked("from=2010-01-01&to=2020-01-08", "history").period == Period(date(2010, 1, 1), date(2020, 1, 9))
    with pytest.raises(ValidationError):
        asked("from=2010-01-01&to=2020-01-09", "history")


@given(st.text(max_size=60))
@example("org=1;user=2")
@example("%ff=%fe")
def test_any_query_is_answered_or_refused(query: str) -> None:
    with suppress(ValidationError):
        known = {"org_id", "user_id", *parameters.NARROWING, *OF_SINGLE_CALLS}
        assert {name for name in asked(query).filters if not name.startswith("tag.")} <= known


# ── Cursors ──────────────────────────────────────────────────────────────────────────────────────────────────────

POSITIONS: dict[str, Any] = {
    "created_at": st.datetimes(timezones=st.just(UTC)),
    "cost_usd": st.decimals(0, Decimal("99999999999"), places=12),
    "total_tokens": st.integers(0, MOST),
    "execution_time_ms": st.integers(-MOST, MOST),
}


@given(st.data(), st.sampled_from(ORDERINGS), st.sampled_from(["", "-"]), st.integers(1, MOST))
def test_a_cursor_says_where_it_came_from(data: st.DataObject, name: str, sign: str, id_: int) -> None:
    position = (data.draw(POSITIONS[name]), id_)
    cursor = parameters.cursor(sign + name, position)
    assert asked(f"cursor={cursor}&ordering={sign}{name}").given["after"] == position
    assert wrong(f"cursor={cursor}&ordering={'' if sign else '-'}{name}") == {"cursor"}


def forged(*parts: Any) -> str:
    return urlsafe_b64encode(msgspec.json.encode(list(parts))).decode().rstrip("=")


MOMENT = "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("ordering", "parts"),
    [
        ("created_at", ["created_at", "2026-01-01T00:00:00", 1]),  # no zone
        ("created_at", ["created_at", "0001-01-01T00:00:00+14:00", 1]),  # before there is time
        ("created_at", ["created_at", "9999-12-31T23:59:59-14:00", 1]),
        ("created_at", ["created_at", "yesterday", 1]),
        ("created_at", ["created_at", MOMENT, -1]),
        ("created_at", ["created_at", MOMENT, MOST + 1]),
        ("created_at", ["created_at", MOMENT, "1"]),
        ("created_at", ["created_at", MOMENT, 1.5]),
        ("created_at", ["created_at", MOMENT]),
        ("created_at", ["created_at", MOMENT, 1, 2]),
        ("created_at", ["id", MOMENT, 1]),
        ("cost_usd", ["cost_usd", "NaN", 1]),
        ("cost_usd", ["cost_usd", "Infinity", 1]),
        ("cost_usd", ["cost_usd", "1E-999999", 1]),
        ("cost_usd", ["cost_usd", "1E+12", 1]),
        ("cost_usd", ["cost_usd", "1000000000000", 1]),
        ("cost_usd", ["cost_usd", "0.0000000000001", 1]),
        ("total_tokens", ["total_tokens", str(MOST + 1), 1]),
        ("total_tokens", ["total_tokens", "1.0", 1]),
        ("total_tokens", ["total_tokens", "1 OR 1=1", 1]),
    ],
)
def test_a_forged_cursor_is_refused(ordering: str, parts: list[Any]) -> None:
    assert wrong(f"ordering={ordering}&cursor={forged(*parts)}") == {"cursor"}


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_as_a_cursor(packed: bytes) -> None:
    assert wrong(f"cursor=A{urlsafe_b64encode(packed).decode()}") == {"cursor"}


def test_a_cursor_and_an_offset_contradict_each_other() -> None:
    cursor = forged("-created_at", MOMENT, 1)
    assert wrong(f"cursor={cursor}&offset=1") == {"offset"}
    assert asked(f"cursor={cursor}&offset=0").given["after"] == (datetime(2026, 1, 1, tzinfo=UTC), 1)


# ── Over HTTP ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
@pytest.mark.parametrize("report", REPORTS)
def test_a_wrong_parameter_is_400_with_its_name(report: str) -> None:
    client = APIClient()
    client.force_authenticate(factories.superadmin())
    answer = client.get(f"{BILLING}/{report}", {"org": "x", "colour": "red"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], set(error["details"])) == (400, "invalid", {"colour"})
    answer = client.get(f"{BILLING}/{report}", {"org": "x"})
    assert (answer.status_code, set(answer.json()["error"]["details"])) == (400, {"org"})


@pytest.mark.django_db
def test_more_parameters_than_django_reads_are_refused_in_the_same_shape() -> None:
    client = APIClient()
    client.force_authenticate(factories.superadmin())
    answer = client.get(f"{BILLING}/summary?" + "&".join(f"p{number}=1" for number in range(1001)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "parse_error")


@pytest.mark.parametrize("name", ["org", "user", "days", "period_days", "limit", "offset"])
@pytest.mark.parametrize(
    "value", ["1.0", "1.", " 1", "1 ", "+1", "1_0", "\u0661", "1e0", "0x1", "NaN", str(2**63), "9" * 20, "9" * 4400]
)
def test_a_whole_number_is_digits_and_nothing_else(name: str, value: str) -> None:
    query = QueryDict(mutable=True)
    query[name] = value
    assert wrong(query.urlencode()) == {name}
    query[name] = "1"
    assert asked(query.urlencode()).given[name] == 1
