"""Endpoint × filter × role × tenant: each answer is what the raw calls say, and nothing in it is another tenant's.

What is expected comes from the calls one by one, in Python, and from the memberships: not from `reports` or `access`.
Of each filter's values every report gets a third from each person, another third from the next one; `API_CASES=1` asks
them all.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework.views import APIView

from tests.support.api_world import BILLING, BREAKDOWNS, REPORTS, World
from usage_billing.api import errors
from usage_billing.api.export import ExportStoppedError
from usage_billing.models import Membership, UsageRecord

pytestmark = pytest.mark.django_db

PEOPLE = ("superadmin", "owner", "owner_of_two", "member", "member_and_owner", "left", "staff")
SEES_ORGANIZATIONS = {"superadmin", "owner_of_two"}
SHUT_OUT = (None, "inactive")
COLUMNS = {"org": "org_id", "user": "user_id"}
FILTERS = (
    *COLUMNS,
    "agent_id",
    "ai_provider",
    "ai_model",
    "request_type",
    "workflow_id",
    "content_id",
    "status",
)
OF_NOBODY: dict[str, Any] = {"org": 999_999_999, "user": 999_999_999} | dict.fromkeys(FILTERS[2:-1], "of-nobody")
OF_VALUES = 1 if os.environ.get("API_CASES") else 3
FORMATS = ("csv", "jsonl", "xlsx")
Calls = list[UsageRecord]


@pytest.fixture
def world() -> World:
    return World(timezone.now())


def value(call: UsageRecord, filter_: str) -> Any:
    return getattr(call, COLUMNS.get(filter_, filter_))


def values(calls: Iterable[UsageRecord], filter_: str) -> set[Any]:
    return {value(call, filter_) for call in calls} - {None}


def questions() -> Iterator[dict[str, Any]]:
    """No filter, and each filter with each tenant's values and with one that nobody has."""
    yield {}
    everything = list(UsageRecord.objects.all())
    for filter_ in FILTERS:
        of_nobody = [OF_NOBODY[filter_]] if filter_ in OF_NOBODY else []
        for each in [*sorted(values(everything, filter_)), *of_nobody]:
            yield {filter_: each}


# ── What the raw calls say ───────────────────────────────────────────────────────────────────────────────────────


def summed_up(calls: Calls) -> dict[str, Any]:
    def amount(currency: str) -> str | None:
        known = [cost for call in calls if (cost := getattr(call, f"cost_{currency}")) is not None]
        return format(sum(known, Decimal(0)).normalize() + 0, "f") if known or not calls else None

    return {
        "requests_count": len(calls),
        "total_tokens": sum(call.total_tokens for call in calls),
        "unpriced_count": sum(call.cost_usd is None for call in calls),
        "unpriced_rub_count": sum(call.cost_rub is None for call in calls),
        "cost_usd": amount("usd"),
        "cost_rub": amount("rub"),
    }


def told(totals: dict[str, Any]) -> dict[str, Any]:
    return {name: totals[name] for name in summed_up([])}


def from_day_on(calls: Calls, day: date) -> Calls:
    return [call for call in calls if call.usage_date >= day]


def grouped(calls: Calls, columns: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
    groups: dict[tuple[Any, ...], Calls] = defaultdict(list)
    for call in calls:
        groups[tuple(getattr(call, column) for column in columns)].append(call)
    return {key: summed_up(group) for key, group in groups.items()}


def hold(report: str, data: Any, calls: Calls, today: date) -> None:
    """The answer is what these calls say."""
    month = from_day_on(calls, today - timedelta(days=29))
    if report == "summary":
        assert {period: told(totals) for period, totals in data.items()} == {
            "today": summed_up(from_day_on(calls, today)),
            "this_month": summed_up(from_day_on(calls, today.replace(day=1))),
            "all_time": summed_up(calls),
        }
    elif report == "history":
        days = [today - timedelta(days=29 - number) for number in range(30)]
        assert {row["date"]: told(row) for row in data["items"]} == {
            str(day): summed_up([call for call in calls if call.usage_date == day]) for day in days
        }
    elif report == "detailed":
        assert data["count"] == len(calls)
        assert {call["id"] for call in data["items"]} == {call.pk for call in calls}
    else:
        columns = BREAKDOWNS[report]
        keys = [{"user_id": "user", "org_id": "org"}.get(column, column) for column in columns]
        assert {tuple(row[key] for key in keys): told(row) for row in data["items"]} == grouped(month, columns)
        assert told(data["total"]) == summed_up(month)
        assert data["other"] is None


# ── What must not be there ───────────────────────────────────────────────────────────────────────────────────────


def names(world: World, calls: Calls) -> set[str]:
    """Every text by which these calls could be told."""
    people = {person.pk: person.username for person in world.people.values()}
    orgs = {org.pk: org.name for org in world.orgs.values()}
    found: set[str] = set()
    for call in calls:
        found |= {str(value(call, name)) for name in FILTERS[2:-1]}
        found |= {call.request_id, orgs[call.org_id], call.request_metadata["note"], people.get(call.user_id or 0, "")}
    return found - {"", "None"}


def secrets_beside(world: World, calls: Calls) -> set[str]:
    """Return values that occur in all other calls, but not in these."""
    seen = {call.pk for call in calls}
    return names(world, [call for call in UsageRecord.objects.all() if call.pk not in seen]) - names(world, calls)


def assert_silent(secrets: set[str], text: str, question: dict[str, Any]) -> None:
    """Nothing is told, but what the question itself says."""
    told = [name for name in secrets - {str(each) for each in question.values()} if name in text]
    assert told == [], text


def text_of(answer: Any) -> str:
    return f"{json.dumps(dict(answer.headers))}{answer.content.decode()}"


# ── The matrix ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("person", PEOPLE)
def test_every_report_with_every_filter_is_what_the_calls_say(world: World, person: str) -> None:
    client, visible, today = world.client(person), world.calls_of(person), timezone.localdate()
    secrets = secrets_beside(world, visible)
    for number, question in enumerate(questions(), PEOPLE.index(person)):
        calls = [call for call in visible if all(value(call, name) == asked for name, asked in question.items())]
        for report in [name for name in REPORTS if name != "export"][number % OF_VALUES :: OF_VALUES]:
            answer = client.get(f"{BILLING}/{report}", question)
            assert_silent(secrets, text_of(answer), question)
            if report == "by-org" and person not in SEES_ORGANIZATIONS:
                assert answer.status_code == 403
            else:
                assert answer.status_code == 200
                hold(report, answer.json()["data"], calls, today)


def lines(kind: str, content: bytes) -> tuple[set[str], str]:
    """The request ids of an export, and all of its text."""
    if kind == "jsonl":
        text = content.decode()
        return {json.loads(line)["request_id"] for line in text.splitlines()}, text
    if kind == "csv":
        text = content.decode("utf-8-sig")
        return {line["request_id"] for line in csv.DictReader(io.StringIO(text))}, text
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        text = "".join(book.read(name).decode() for name in book.namelist())
    return set(re.findall(r"[a-z]+-request-\d+", text)), text


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("person", PEOPLE)
def test_every_export_is_what_the_calls_say(world: World, person: str, kind: str) -> None:
    client, visible = world.client(person), world.calls_of(person)
    for question in [*questions()][PEOPLE.index(person) % OF_VALUES :: OF_VALUES]:
        calls = [call for call in visible if all(value(call, name) == asked for name, asked in question.items())]
        answer = client.get(f"{BILLING}/export", {**question, "format": kind})
        ids, text = lines(kind, b"".join(answer))
        assert ids == {call.request_id for call in calls}
        assert_silent(secrets_beside(world, calls), json.dumps(dict(answer.headers)) + text, question)


@pytest.mark.parametrize("person", SHUT_OUT)
def test_who_is_not_let_in_gets_one_answer_to_everything(
    world: World, person: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(APIView, "get_throttles", lambda self: [])
    monkeypatch.setattr(errors, "count_refusal", lambda error, context: error)  # as often as it likes, too
    client = world.client(person)
    (call,) = UsageRecord.objects.all()[:1]
    answers = {
        (answer.status_code, answer.content)
        for question in questions()
        for report in (*REPORTS, f"detailed/{call.pk}")
        for answer in [client.get(f"{BILLING}/{report}", question)]
    }
    ((status, content),) = answers
    assert status == 401
    assert_silent(secrets_beside(world, []), content.decode(), {})


@pytest.mark.parametrize("person", PEOPLE)
def test_each_call_is_there_for_those_who_see_it(world: World, person: str) -> None:
    client, visible = world.client(person), {call.pk for call in world.calls_of(person)}
    found = {call.pk: client.get(f"{BILLING}/detailed/{call.pk}").status_code for call in UsageRecord.objects.all()}
    assert found == {pk: 200 if pk in visible else 404 for pk in found}


# ── Another's and nobody's are alike ─────────────────────────────────────────────────────────────────────────────


def answered(client: APIClient, address: str, question: dict[str, Any]) -> tuple[int, bytes, list[str]]:
    """Status, body, and the statements that it took without their values: what its time depends on."""
    with CaptureQueriesContext(connection) as statements:
        answer = client.get(address, question)
        content = b"".join(answer) if answer.streaming else answer.content
    shapes = [re.sub(r"'[^']*'|\d+", "?", statement["sql"]) for statement in statements]
    return answer.status_code, content, shapes


@pytest.mark.parametrize("person", ["owner", "owner_of_two", "member", "member_and_owner", "left", "staff"])
def test_what_is_anothers_is_answered_as_what_is_nobodys(world: World, person: str) -> None:
    client, visible = world.client(person), world.calls_of(person)
    everything = list(UsageRecord.objects.all())
    compared = 0
    for filter_, of_nobody in OF_NOBODY.items():
        foreign = values(everything, filter_) - values(visible, filter_) - {""}
        for report in REPORTS:
            expected = answered(client, f"{BILLING}/{report}", {filter_: of_nobody})
            for each in sorted(foreign)[::OF_VALUES]:
                assert answered(client, f"{BILLING}/{report}", {filter_: each}) == expected
                compared += 1
    assert compared > 0
    hidden = [call.pk for call in everything if call not in visible]
    missing = answered(client, f"{BILLING}/detailed/999999999", {})
    assert missing[0] == 404
    for pk in hidden:
        assert answered(client, f"{BILLING}/detailed/{pk}", {}) == missing


def test_a_cursor_of_another_gives_no_more_than_one_of_ones_own(world: World) -> None:
    given = world.client("superadmin").get(f"{BILLING}/detailed", {"limit": 30}).json()["data"]
    client, visible = world.client("member"), world.calls_of("member")
    found = client.get(f"{BILLING}/detailed", {"cursor": given["next_cursor"]}).json()["data"]
    after = {call["id"] for call in given["items"]}
    assert {call["id"] for call in found["items"]} == {call.pk for call in visible} - after


# ── The end of a membership ──────────────────────────────────────────────────────────────────────────────────────


def bearer(username: str) -> APIClient:
    client = APIClient()
    granted = client.post("/api/token", {"username": username, "password": "secret"}, format="json").json()["data"]
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {granted['access']}")
    return client


@pytest.mark.parametrize("person", ["owner", "owner_of_two", "member", "member_and_owner"])
def test_a_token_gives_nothing_after_the_membership(world: World, person: str) -> None:
    client, seen, secrets = bearer(world.people[person].username), world.calls_of(person), secrets_beside(world, [])
    assert client.get(f"{BILLING}/detailed").json()["data"]["count"] == len(seen) > 0
    Membership.objects.filter(user=world.people[person]).delete()
    for report in set(REPORTS) - {"export", "by-org"}:
        answer = client.get(f"{BILLING}/{report}")
        hold(report, answer.json()["data"], [], timezone.localdate())
        assert_silent(secrets, text_of(answer), {})
    assert client.get(f"{BILLING}/by-org").status_code == 403
    assert client.get(f"{BILLING}/detailed/{seen[0].pk}").status_code == 404
    for kind in FORMATS:
        assert lines(kind, b"".join(client.get(f"{BILLING}/export", {"format": kind})))[0] == set()


def test_an_owner_who_becomes_a_member_keeps_their_own_calls_only(world: World) -> None:
    client = bearer("red-owner")
    Membership.objects.filter(user=world.people["owner"]).update(role=Membership.Role.MEMBER)
    own = [call for call in UsageRecord.objects.all() if call.user_id == world.people["owner"].pk]
    hold("detailed", client.get(f"{BILLING}/detailed").json()["data"], own, timezone.localdate())


def test_an_export_ends_with_the_membership(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_billing.api.export.BATCH_SIZE", 5)
    chunks = iter(world.client("owner").get(f"{BILLING}/export", {"format": "jsonl"}))
    assert len(next(chunks).splitlines()) == 5
    Membership.objects.filter(user=world.people["owner"]).delete()
    with pytest.raises(ExportStoppedError):
        next(chunks)


def test_an_export_ends_with_the_account(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_billing.api.export.BATCH_SIZE", 5)
    chunks = iter(world.client("superadmin").get(f"{BILLING}/export", {"format": "jsonl"}))
    assert len(next(chunks).splitlines()) == 5
    type(world.people["superadmin"]).objects.filter(username="boss").update(is_active=False)
    with pytest.raises(ExportStoppedError):
        next(chunks)
