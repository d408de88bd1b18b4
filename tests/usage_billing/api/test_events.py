"""Events over HTTP: what is sent, what is answered, and what the ledger has then."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.support import factories
from tests.support.configure import configure
from tests.support.recorded import Recorded
from usage_billing.api import examples
from usage_billing.auth import service_tokens
from usage_billing.budgets import editing
from usage_billing.budgets.state import states
from usage_billing.ingest import events_names, events_taking
from usage_billing.models import Budget, Membership, Organization, UsageRecord
from usage_billing.recording import recorder
from usage_billing.recording.outbox import Outbox
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db
EVENTS = "/api/billing/usage/events"
Drained = Callable[[], int]


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    service_tokens.forget()
    events_names.forget()
    yield
    service_tokens.forget()


@pytest.fixture
def org() -> Organization:
    return factories.organization("Atlas")


def token(org: Organization | None, *scopes: str) -> str:
    _, text = service_tokens.create(
        scope=EVERYTHING, by="boss", name="billing job", org=org, scopes=scopes or ["ingest"]
    )
    return text


def client(text: str) -> APIClient:
    return APIClient(headers={"accept-language": "en", "authorization": f"Bearer {text}"})


def by(person: Any) -> APIClient:
    found = APIClient(headers={"accept-language": "en"})
    found.force_authenticate(person)
    return found


def an_event(number: int = 1, **fields: Any) -> dict[str, Any]:
    """1,000 + 100 tokens on gpt-4.1-mini: 0.00056 USD."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    given = {"request_id": f"job-{number}", "provider": "openai", "model": "gpt-4.1-mini", "usage": usage} | fields
    return {name: value for name, value in given.items() if value is not ...}


def sent(to: APIClient, *events: Any, status: int = 200) -> Any:
    answer = to.post(EVENTS, {"events": [*events]}, format="json")
    assert answer.status_code == status, answer.content
    return answer.json()["data" if status == 200 else "error"]


def states_of(answer: Any) -> list[str]:
    return [each["state"] for each in answer["events"]]


def reason(to: APIClient, **fields: Any) -> str:
    """Why an event with these fields is refused. Its neighbours are taken."""
    answer = sent(to, an_event(1), an_event(2, **fields), an_event(3))
    assert states_of(answer) == ["taken", "refused", "taken"], answer
    assert (answer["taken"], answer["known"], answer["refused"]) == (2, 0, 1)
    return str(answer["events"][1]["reason"])


# ── Taken ──


def test_an_event_becomes_a_record_with_everything_that_it_says(org: Organization, drained: Drained) -> None:
    anna = factories.member(org, "anna")
    moment = timezone.now().replace(microsecond=0) - timedelta(hours=3)
    told: dict[str, Any] = {
        "time": moment.isoformat(),
        "duration_ms": 940.4,
        "user": "anna",
        "agent_id": "legal_guard",
        "request_type": "legal_check",
        "workflow_id": "publishing-7",
        "content_id": 512,
        "platform": "telegram",
        "content_type": "post",
        "task_type": "check",
        "tags": {"env": "prod", "attempt": 2},
        "metadata": {"ticket": "A-7"},
        "cost_usd": 0.0006,
        "org": org.slug,
    }
    answer = sent(client(token(org)), an_event(**told))
    assert answer == {
        "taken": 1,
        "known": 0,
        "refused": 0,
        "events": [{"index": 0, "request_id": "job-1", "state": "taken", "reason": None}],
    }
    assert drained() == 1
    record = UsageRecord.objects.get()
    assert (record.org_id, record.user_id, record.request_id) == (org.pk, anna.pk, "job-1")
    assert (record.ai_provider, record.ai_model, record.endpoint) == ("openai", "gpt-4.1-mini", "/v1/chat/completions")
    assert (record.prompt_tokens, record.completion_tokens, record.cost_usd) == (1000, 100, Decimal("0.00056"))
    assert (record.created_at, record.execution_time_ms, record.status) == (moment, 940, "succeeded")
    assert (record.agent_id, record.request_type, record.workflow_id) == ("legal_guard", "legal_check", "publishing-7")
    assert (record.content_id, record.platform, record.content_type) == ("512", "telegram", "post")
    assert (record.task_type, record.request_metadata) == ("check", {"ticket": "A-7"})
    assert record.tags == {"service_token": "billing job", "env": "prod", "attempt": "2"}
    assert record.response_metadata["source"] == "events"
    assert record.response_metadata["told_cost_usd"] == "0.0006"


@pytest.mark.parametrize("path", [EVENTS, f"{EVENTS}/"])
@pytest.mark.parametrize("form", ["list", "lines", "jsonl", "gzip", "gzip of two members"])
def test_forms_of_a_body(form: str, path: str, org: Organization, drained: Drained) -> None:
    events = [json.dumps(an_event(number)).encode() for number in range(3)]
    lines = b"\n".join(events) + b"\n\n"
    bodies: dict[str, tuple[bytes, str, str]] = {
        "list": (b"[" + b",".join(events) + b"]", "application/json", ""),
        "lines": (lines, "application/x-ndjson", ""),
        "jsonl": (lines, "application/jsonl; charset=utf-8", ""),
        "gzip": (gzip.compress(lines), "application/x-ndjson", "gzip"),
        "gzip of two members": (gzip.compress(events[0] + b"\n") + gzip.compress(lines), "application/jsonl", "GZIP"),
    }
    body, content_type, encoding = bodies[form]
    extra: dict[str, Any] = {"HTTP_CONTENT_ENCODING": encoding} if encoding else {}
    answer = client(token(org)).post(path, body, content_type=content_type, **extra)
    assert answer.status_code == 200, answer.content
    assert answer.json()["data"]["taken"] == 3
    assert drained() == 3
    assert UsageRecord.objects.filter(org=org).count() == 3


def test_the_same_call_is_told_once(org: Organization, drained: Drained) -> None:
    to = client(token(org))
    assert states_of(sent(to, an_event(1), an_event(2), an_event(1))) == ["taken", "taken", "known"]
    assert states_of(sent(to, an_event(1))) == ["taken"]  # not in the ledger yet, which knows it
    drained()
    answer = sent(to, an_event(1, model="gpt-4.1"), an_event(2), an_event(3))
    assert states_of(answer) == ["known", "known", "taken"]
    drained()
    assert sorted(UsageRecord.objects.values_list("request_id", "ai_model")) == [
        ("job-1", "gpt-4.1-mini"),
        ("job-2", "gpt-4.1-mini"),
        ("job-3", "gpt-4.1-mini"),
    ]


def test_another_organisations_call_of_the_same_id_is_not_known(org: Organization, drained: Drained) -> None:
    other = factories.organization("Lumen")
    assert states_of(sent(client(token(other)), an_event(1))) == ["taken"]
    drained()
    assert states_of(sent(client(token(other)), an_event(1))) == ["known"]
    assert states_of(sent(client(token(org)), an_event(1))) == ["taken"]


def test_a_call_of_nobody_is_known_too(drained: Drained) -> None:
    to = client(token(None))
    assert states_of(sent(to, an_event(1))) == ["taken"]
    drained()
    assert UsageRecord.objects.get().org.slug == "unattributed"
    assert states_of(sent(to, an_event(1), an_event(2))) == ["known", "taken"]


def test_an_event_without_a_time_is_of_now(org: Organization, drained: Drained) -> None:
    before = timezone.now()
    sent(client(token(org)), an_event(1), an_event(2, time=1795700000.5))
    drained()
    first, second = UsageRecord.objects.order_by("request_id")
    assert before <= first.created_at <= timezone.now()
    assert second.created_at == datetime.fromtimestamp(1795700000.5, UTC)


def test_a_failed_call_needs_no_usage_and_costs_nothing(org: Organization, drained: Drained) -> None:
    to = client(token(org))
    sent(to, an_event(1, usage=..., status="failed", error_code="529"), an_event(2, usage=None))
    drained()
    failed, untold = UsageRecord.objects.order_by("request_id")
    assert (failed.status, failed.error_code, failed.cost_usd, failed.price_source) == (
        "failed",
        "529",
        0,
        "not-charged:failed",
    )
    assert (untold.cost_usd, untold.price_source) == (None, "unpriced:no-usage")


def test_budgets_count_what_is_reported(org: Organization, drained: Drained) -> None:
    now = timezone.now()
    values = {"name": "Month", "window": "month", "limit": Decimal(1), "unit": "usd", "mode": "alert"}
    budget = editing.create(scope=EVERYTHING, by="boss", org=org, values=values, now=now)
    assert states([budget], now)[budget.pk].spent == 0
    sent(client(token(org)), *(an_event(number) for number in range(10)))
    drained()
    assert states([Budget.objects.get()], timezone.now())[budget.pk].spent == Decimal("0.0056")


# ── Who may send, and for whom ──


def test_a_token_decides_the_organisation(org: Organization) -> None:
    other = factories.organization("Lumen")
    to = client(token(org))
    told = [reason(to, org=named) for named in (other.slug, other.pk, "nobody", 10**6)]
    assert told[0] == f"This token is not of the organisation “{other.slug}”. Leave org out, or use a token of it."
    assert (
        len(
            {
                text.replace(name, "")
                for text, name in zip(told, (other.slug, str(other.pk), "nobody", "1000000"), strict=True)
            }
        )
        == 1
    )
    assert states_of(sent(to, an_event(9, org=str(org.pk)))) == ["taken"]


def test_a_token_of_all_names_an_organisation(org: Organization, drained: Drained) -> None:
    to = client(token(None))
    assert "There is no organisation “nobody” here" in reason(to, org="nobody")
    assert "There is no organisation" in reason(to, org=10**6)
    sent(to, an_event(5, org=org.slug), an_event(6, org=org.pk))
    drained()
    assert set(UsageRecord.objects.filter(org=org).values_list("request_id", flat=True)) == {"job-5", "job-6"}


def test_a_user_who_is_no_member_stays_in_the_metadata(org: Organization, drained: Drained) -> None:
    """Who may send for one organisation must not learn the names of other people by their ids."""
    member, stranger = factories.member(org, "anna"), factories.user("kate")
    sent(
        client(token(org)),
        an_event(1, user=member.pk),
        an_event(2, user=str(member.pk)),
        an_event(3, user="anna"),
        an_event(4, user=stranger.pk),
        an_event(5, user="kate"),
    )
    drained()
    found = UsageRecord.objects.order_by("request_id").values_list("user_id", "request_metadata")
    assert [*found] == [
        (member.pk, {}),
        (member.pk, {}),
        (member.pk, {}),
        (None, {"user_id": stranger.pk}),
        (None, {"user_id": "kate"}),
    ]


def test_a_token_of_all_names_anybody(org: Organization, drained: Drained) -> None:
    kate = factories.user("kate")
    sent(client(token(None)), an_event(1, user="kate", org=org.pk), an_event(2, user=987654, org=org.pk))
    drained()
    assert [*UsageRecord.objects.order_by("request_id").values_list("user_id", flat=True)] == [kate.pk, 987654]


def test_no_event_sets_the_tag_of_its_token(org: Organization, drained: Drained) -> None:
    sent(client(token(org)), an_event(tags={"service_token": "another"}))
    drained()
    assert UsageRecord.objects.get().tags == {"service_token": "billing job"}


def test_people_send_for_organisations_that_they_own(org: Organization, drained: Drained) -> None:
    other = factories.organization("Lumen")
    owner = factories.owner(org)
    assert states_of(sent(by(owner), an_event(1))) == ["taken"]
    assert "There is no organisation" in reason(by(owner), org=other.slug)
    Membership.objects.create(org=other, user=owner, role="owner")
    (refused,) = sent(by(owner), an_event(4))["events"]
    assert refused["reason"] == "Name the organisation of the event: you send for several."
    assert states_of(sent(by(owner), an_event(4, org=other.slug))) == ["taken"]
    assert states_of(sent(by(factories.superadmin()), an_event(7, org=other.slug))) == ["taken"]
    drained()
    assert UsageRecord.objects.get(request_id="job-7").tags == {}


def test_others_send_nothing(org: Organization) -> None:
    assert sent(by(factories.member(org)), an_event(), status=403)["code"] == "permission_denied"
    assert sent(client(token(org, "read", "budgets")), an_event(), status=403) == examples.MAY_NOT_SEND["error"]
    assert sent(client("aic_no-such-token"), an_event(), status=401)["code"] == "service_token_not_valid"
    assert sent(APIClient(), an_event(), status=401)["code"] == "not_authenticated"
    assert client(token(org)).get(EVENTS).status_code == 403


# ── Refused ──


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"request_id": ...}, "Object missing required field `request_id`"),
        ({"request_id": ""}, "Expected `str` of length >= 1 - at `request_id`"),
        ({"request_id": 5}, "Expected `str`, got `int` - at `request_id`"),
        ({"request_id": "x" * 201}, "Expected `str` of length <= 200 - at `request_id`"),
        ({"request_id": "a\u202eb"}, "request_id must be printable text"),
        ({"request_id": " a"}, "request_id must be printable text"),
        ({"provider": ...}, "Object missing required field `provider`"),
        ({"model": None}, "Expected `str`, got `null` - at `model`"),
        ({"usage": ...}, "Give usage (the provider's block) or units"),
        ({"usage": [1]}, "Expected `object | null`, got `array` - at `usage`"),
        ({"usage": {"prompt_tokens": 10**13}}, "The usage cannot be read: a number beyond 1000000000000."),
        ({"usage": {"prompt_tokens": 1e300}}, "The usage cannot be read: a number beyond 1000000000000."),
        ({"usage": {"note": "x" * 40_000}}, "The usage cannot be read: larger than 32 KB."),
        ({"units": {"input_tokens": 1}}, "Give tokens and seconds in usage or in units, not in both."),
        ({"usage": ..., "units": {"input_tokens": -1}}, "Expected `int` >= 0 - at `units.input_tokens`"),
        ({"usage": ..., "units": {"input_tokens": 1.5}}, "Expected `int`, got `float` - at `units.input_tokens`"),
        ({"usage": ..., "units": {"input_tokens": True}}, "Expected `int`, got `bool` - at `units.input_tokens`"),
        ({"usage": ..., "units": {"tokens": 1}}, "Object contains unknown field `tokens` - at `units`"),
        (
            {"usage": ..., "units": {"input_tokens": 5, "cached_input_tokens": 6}},
            "input_tokens must include the 6 tokens that were read from or written to the cache.",
        ),
        (
            {"usage": ..., "units": {"output_tokens": 5, "reasoning_tokens": 6}},
            "output_tokens must include reasoning_tokens.",
        ),
        ({"api": "teleport"}, "Invalid enum value 'teleport' - at `api`"),
        ({"status": "pending"}, "Invalid enum value 'pending' - at `status`"),
        ({"time": "yesterday"}, "time must be RFC 3339 with an offset"),
        ({"time": "2026-11-18T09:00:00"}, "time must be RFC 3339 with an offset"),
        ({"time": "2026-11-18"}, "time must be RFC 3339 with an offset"),
        ({"time": "2014-12-31T23:59:59Z"}, "time lies before 2015."),
        ({"time": -5}, "time lies before 2015."),
        ({"time": 1795700000000}, "time must be RFC 3339 with an offset"),
        ({"time": 4000000000}, "time lies in the future."),
        ({"time": True}, "Expected `int | float | str | null`, got `bool` - at `time`"),
        ({"duration_ms": -1}, "Expected `float` >= 0.0 - at `duration_ms`"),
        ({"duration_ms": 1e13}, "Expected `float` <= 1000000000000.0 - at `duration_ms`"),
        ({"cost_usd": "NaN"}, "cost_usd must be an amount in USD, 0 or more."),
        ({"cost_usd": -1}, "cost_usd must be an amount in USD, 0 or more."),
        ({"cost_usd": "1e400"}, "cost_usd must be an amount in USD, 0 or more."),
        ({"tags": {"a b": "c"}}, "Tags are short words"),
        ({"tags": {"a": "x" * 101}}, "Tags are short words"),
        ({"tags": {str(number): "x" for number in range(10)}}, "An event has at most 9 tags."),
        ({"tags": {"a": ["b"]}}, "got `array` - at `tags[...]`"),
        ({"agent_id": "x" * 101}, "Expected `str` of length <= 100 - at `agent_id`"),
        ({"org": "at\x00las"}, "org and user must be printable text."),
        ({"user": "an\x00na"}, "org and user must be printable text."),
        ({"agent": "legal_guard"}, "Object contains unknown field `agent`"),
    ],
)
def test_what_is_refused_and_why(fields: dict[str, Any], told: str, org: Organization) -> None:
    assert told in reason(client(token(org)), **fields)


def test_things_that_are_no_events_are_refused_by_themselves(org: Organization, drained: Drained) -> None:
    answer = sent(client(token(org)), an_event(1), None, 5, [], "x", {}, an_event(2))
    assert states_of(answer) == ["taken", *["refused"] * 5, "taken"]
    assert [each["index"] for each in answer["events"]] == [*range(7)]
    lines = b'{"request_id": NaN}\n' + json.dumps(an_event(3)).encode() + b"\n\xff\n" + b"[" * 40 + b"]" * 40
    answer = client(token(org)).post(EVENTS, lines, content_type="application/x-ndjson").json()["data"]
    assert states_of(answer) == ["refused", "taken", "refused", "refused"]
    assert answer["events"][0]["reason"].startswith("The line is not JSON")
    assert drained() == 3


def test_hostile_texts_are_cleaned_and_taken(org: Organization, drained: Drained) -> None:
    sent(
        client(token(org)),
        an_event(model="gpt\x00-4.1\u202e", agent_id="\x1b[2J", metadata={"a": "b\x00", "deep": [[[{}]]]}),
    )
    assert drained() == 1
    record = UsageRecord.objects.get()
    assert (record.ai_model, record.agent_id) == ("gpt-4.1\ufffd", "\ufffd[2J")
    assert record.price_source == "unpriced:unknown-model"


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "status", "code"),
    [
        (b"{", "application/json", "", 400, "parse_error"),
        (b"", "application/json", "", 400, "invalid"),
        (b'{"calls": []}', "application/json", "", 400, "invalid"),
        (b'{"events": {}}', "application/json", "", 400, "invalid"),
        (b'[{"request_id": NaN}]', "application/json", "", 400, "parse_error"),
        (b"[" + b"1," * 1000 + b"1]", "application/json", "", 400, "invalid"),
        (b"[]", "text/csv", "", 415, "unsupported_media_type"),
        (b"[]", "application/json", "br", 415, "unsupported_encoding"),
        (b"[]", "application/json", "gzip", 400, "parse_error"),
        (gzip.compress(b"[]" * 99, mtime=0)[:-9], "application/json", "gzip", 400, "parse_error"),
        (b" " * 2_700_000, "application/json", "", 413, "too_large"),
        (gzip.compress(b" " * 8_500_000, mtime=0), "application/json", "gzip", 413, "too_large"),
    ],
)
def test_bodies_that_are_refused(
    body: bytes, content_type: str, encoding: str, status: int, code: str, org: Organization, outbox: Outbox
) -> None:
    extra: dict[str, Any] = {"HTTP_CONTENT_ENCODING": encoding} if encoding else {}
    answer = client(token(org)).post(EVENTS, body, content_type=content_type, **extra)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.content
    assert Recorded(outbox.path).all() == []


def test_examples_are_as_the_schema_shows(org: Organization, drained: Drained) -> None:
    answer = client(token(org)).post(EVENTS, examples.SENT_EVENTS, format="json")
    assert answer.json()["data"] == examples.ANSWERED_EVENTS
    drained()
    assert UsageRecord.objects.exclude(cost_usd=None).count() == 2
    answer = client(token(org)).post(EVENTS, [1] * 1001, format="json")
    assert answer.json() == examples.TOO_MANY_EVENTS


# ── Without room, and without a database ──


def test_a_full_outbox_takes_nothing_and_counts_no_loss(org: Organization, settings: Settings) -> None:
    to = client(token(org))
    sent(to, *(an_event(number) for number in range(3)))
    configure(settings, OUTBOX_MAX_MB=0)
    answer = to.post(EVENTS, [an_event(7)], format="json")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    error = answer.json()["error"]
    assert error["code"] == "nothing_taken"
    assert error["message"].startswith("Nothing was taken: the outbox has grown to 0 MB")
    assert recorder.health().lost == 0


def test_a_disk_that_takes_nothing(org: Organization, monkeypatch: pytest.MonkeyPatch, outbox: Outbox) -> None:
    def full(*bodies: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorder.outbox(), "append", full)
    assert sent(client(token(org)), an_event(), status=503)["code"] == "nothing_taken"
    monkeypatch.undo()
    assert Recorded(outbox.path).all() == []


def test_events_are_taken_while_the_database_is_away(
    org: Organization, monkeypatch: pytest.MonkeyPatch, drained: Drained
) -> None:
    """The token is taken on trust, and names that were looked up before are remembered."""
    anna, to, of_all = factories.member(org, "anna"), client(token(org)), client(token(None))
    sent(to, an_event(1, user="anna"))
    sent(of_all, an_event(2, org=org.slug))
    drained()

    def away(*_: object, **__: object) -> None:
        raise OperationalError("the server has gone away")

    with monkeypatch.context() as patched:
        patched.setattr(service_tokens, "_looked_up", away)
        patched.setattr(service_tokens, "RECHECK_S", 0)
        patched.setattr(events_taking, "within", away)
        assert states_of(sent(to, an_event(1), an_event(3, user="anna"), an_event(4, user="kate"))) == ["taken"] * 3
        assert states_of(sent(of_all, an_event(5, org=org.slug), an_event(6, org=org.pk))) == ["taken"] * 2
        assert "away" in sent(of_all, an_event(7, org="lumen"), status=503)["message"]
        assert "This token is not of" in reason(to, org=org.pk + 1)
    drained()
    users: dict[str, Any] = dict(UsageRecord.objects.values_list("request_id", "user_id"))
    assert (users["job-3"], users["job-4"]) == (anna.pk, None)
    assert UsageRecord.objects.filter(org=org, request_id="job-5").exists()
    assert UsageRecord.objects.filter(org=org, request_id="job-1").count() == 1
