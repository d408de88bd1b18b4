"""A call that is told more than once, by whichever programs and in whichever order, is one record (guarantee 4)."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from msgspec.structs import replace

from tests.support import factories
from tests.support.factories import MESSAGES, NOON, event
from usage_billing.ledger import consistency, counters, writer
from usage_billing.models import Organization, ReportedCall, UsageRecord
from usage_billing.recording.event import Event, Span

TRACE = "a" * 32
OUTER, MIDDLE, INNER, BESIDE = (letter * 16 for letter in "1234")
ANSWER = "msg_01ABCDEFGHIJKLMNOPQRS"
FINE = {
    "input_tokens": 100,
    "output_tokens": 20,
    "cache_creation_input_tokens": 50,
    "cache_creation": {"ephemeral_5m_input_tokens": 50},
}
COARSE = {name: number for name, number in FINE.items() if name != "cache_creation"}
MODEL = "claude-sonnet-4-5"
COST = Decimal("0.0007875")
"""100 × 3 + 50 × 3.75 + 20 × 15 millionths of a dollar."""


def own(org: Organization, **fields: Any) -> Event:
    """The event of our own recorder."""
    given: dict[str, Any] = {"request_id": ANSWER, "usage": FINE, "model": MODEL, "flavour": "messages"}
    return event(org=org, url=MESSAGES, **{**given, **fields})


def told(org: Organization, span: str = "", *around: str, answer: str = ANSWER, **fields: Any) -> Event:
    """The event of a report: by a span, with its id or that of the answer, or without one."""
    response = {"source": "otlp" if span else "events"}
    if not fields.get("usage"):
        response["missing"] = "cache-write-lifetime"
    given: dict[str, Any] = {"request_id": answer or f"{TRACE}:{span}", "usage": COARSE, "response": response}
    where = Span(TRACE, span, list(around)) if span else None
    return own(org, **{**given, **fields}, provider="anthropic", span=where)


def check(expected: int = 1) -> list[UsageRecord]:
    """Return the records; their number is as expected, and the rollups equal their sums."""
    records = list(UsageRecord.objects.order_by("request_id"))
    assert len(records) == expected, [(each.request_id, each.org_id) for each in records]
    assert [day for day in consistency.days() for _ in consistency.differences(day)] == []
    return records


@pytest.fixture
def org() -> Organization:
    return factories.organization()


pytestmark = pytest.mark.django_db


def test_a_report_of_a_recorded_call_changes_nothing(org: Organization) -> None:
    writer.add([own(org)])
    before = UsageRecord.objects.values().get()

    writer.add([told(org, INNER), told(org)])

    assert UsageRecord.objects.values().get() == before
    check()


def test_our_own_record_replaces_a_report_that_came_first(org: Organization) -> None:
    writer.add([told(org, INNER, attribution={"agent_id": "reporter", "tags": {"team": "a"}})])
    assert UsageRecord.objects.get().cost_usd is None

    writer.add([own(org, attribution={"tags": {"feature": "chat"}})])

    (record,) = check()
    assert record.cost_usd == COST
    assert "source" not in record.response_metadata
    assert record.agent_id == "reporter"
    assert record.tags == {"team": "a", "feature": "chat"}


def test_the_finer_of_two_reports_is_kept(org: Organization) -> None:
    writer.add([told(org, OUTER)])
    assert UsageRecord.objects.get().price_source == "unpriced:cache-write-lifetime"
    writer.add([told(org, INNER, OUTER, usage=FINE)])
    writer.add([told(org, OUTER)])

    (record,) = check()
    assert record.cost_usd == COST


def test_spans_within_each_other_without_an_id_are_one_call(org: Organization) -> None:
    for order in itertools.permutations((told(org, OUTER, answer=""), told(org, INNER, MIDDLE, OUTER, usage=FINE))):
        UsageRecord.objects.all().delete()
        ReportedCall.objects.all().delete()
        writer.rebuild_day(NOON.date())
        for each in order:
            writer.add([each])

        (record,) = check()
        assert (record.request_id, record.cost_usd) == (ANSWER, COST)


def test_spans_beside_each_other_are_calls_of_their_own(org: Organization) -> None:
    writer.add([told(org, OUTER, answer=""), told(org, INNER, OUTER, answer=""), told(org, BESIDE, OUTER, answer="")])

    check(2)


def test_answers_with_two_ids_are_two_calls_wherever_their_spans_lie(org: Organization) -> None:
    writer.add([told(org, OUTER), told(org, INNER, OUTER, answer="msg_02ABCDEFGHIJKLMNOPQRS")])

    check(2)


def test_spans_of_other_models_are_other_calls(org: Organization) -> None:
    writer.add([told(org, OUTER, answer=""), told(org, INNER, OUTER, answer="", model="claude-haiku-4-5")])

    check(2)


def test_the_span_around_a_call_that_was_recorded_by_another_way_is_no_call(org: Organization) -> None:
    writer.add([told(org, OUTER, answer="")])
    writer.add([own(org)])
    check(2)  # nothing tells yet that they are one

    writer.add([told(org, INNER, OUTER)])

    (record,) = check()
    assert (record.request_id, record.cost_usd) == (ANSWER, COST)
    writer.add([told(org, OUTER, answer="")])
    check()


def test_a_call_of_another_organisation_is_refused_and_counted(
    org: Organization, django_capture_on_commit_callbacks: Any
) -> None:
    other = factories.organization()
    before = counters.counts[counters.IN_ANOTHER_ORGANIZATION]
    writer.add([told(org, INNER)])

    with django_capture_on_commit_callbacks(execute=True):
        writer.add([told(other, INNER), told(other)])

    (record,) = check()
    assert record.org_id == org.pk
    assert counters.counts[counters.IN_ANOTHER_ORGANIZATION] == before + 2


def test_no_report_of_another_organisation_outweighs_our_own_recorder(org: Organization) -> None:
    """A stream tells its id with the first chunk: who reports it at once must not take the call away."""
    other = factories.organization()
    writer.add([told(other), told(other, INNER)])

    writer.add([own(org)])

    (record,) = check()
    assert (record.org_id, record.cost_usd) == (org.pk, COST)
    writer.add([told(other), told(other, INNER)])
    check()


def test_a_report_changes_nothing_of_another_organisation(org: Organization) -> None:
    """Trace context goes out with a request, so others may know the ids of spans."""
    other = factories.organization()
    answer = "msg_02ABCDEFGHIJKLMNOPQRS"
    writer.add([told(org, OUTER, answer="")])
    before = UsageRecord.objects.values().get()

    writer.add([told(other, answer=answer), told(other, INNER, OUTER, answer=answer), told(other, OUTER, answer="")])

    assert UsageRecord.objects.filter(org=org).values().get() == before
    check(2)


def test_ids_that_senders_chose_are_their_own_in_each_organisation(org: Organization) -> None:
    writer.add(
        [told(org, answer="job-2026-11-29-000001"), told(factories.organization(), answer="job-2026-11-29-000001")]
    )

    check(2)


def test_calls_that_only_our_recorder_saw_stay_in_both_organisations(org: Organization) -> None:
    writer.add([own(org), own(factories.organization())])

    check(2)


def test_the_name_that_was_asked_for_and_the_one_that_answered_are_one_model(org: Organization) -> None:
    writer.add([told(org, OUTER, answer="")])
    writer.add([told(org, INNER, OUTER, model=f"{MODEL}-20250929", usage=FINE)])

    check()


class TestAnyOrder(TestCase):
    """Whatever comes first, once or twice, together or one by one: the same record."""

    @settings(max_examples=60)
    @given(st.data())
    def test_the_records_are_the_same(self, data: st.DataObject) -> None:
        org = factories.organization()
        reports = [
            own(org),
            told(org),
            told(org, OUTER),
            told(org, MIDDLE, OUTER, answer=""),
            told(org, INNER, MIDDLE, OUTER, answer="", usage=FINE),
        ]
        order = data.draw(st.permutations(reports * 2))
        sizes = data.draw(st.lists(st.integers(1, 4), min_size=len(order), max_size=len(order)))
        rest = iter(order)
        for size in sizes:
            if batch := list(itertools.islice(rest, size)):
                writer.add(batch)

        (record,) = check()
        assert (record.request_id, record.cost_usd) == (ANSWER, COST)
        assert "source" not in record.response_metadata


def test_a_span_with_hostile_ids_is_no_span(org: Organization) -> None:
    report = told(org, INNER)
    writer.add([replace(report, span=Span("x" * 90_000, "'; DROP TABLE", ["\x00"]))])

    check()
    assert ReportedCall.objects.get().trace_id == ""


@pytest.mark.parametrize("order", list(itertools.permutations("XYR")), ids="".join)
@pytest.mark.parametrize("by_id", [own, told])
def test_an_inner_span_without_the_id_of_the_outer_one_is_the_same_call(
    org: Organization, by_id: Any, order: tuple[str, ...]
) -> None:
    reports = {"X": by_id(org), "Y": told(org, INNER, OUTER, answer=""), "R": told(org, OUTER)}

    for each in order:
        writer.add([reports[each]])

    check()


BACKGROUND: dict[str, Any] = {
    "flavour": "responses",
    "url": "https://api.openai.com/v1/responses",
    "request_id": "resp_0123456789abcdef0123456789",
}
NOTHING = msgspec.Raw(b"null")


@pytest.mark.parametrize("of_another", [False, True])
@pytest.mark.parametrize(
    "batches", [("P", "D", "S"), ("PDS",), ("P", "DS"), ("S", "P", "D"), ("PS", "D"), ("S", "PD"), ("P", "S", "D")]
)
def test_a_background_response_that_a_span_tells_too_is_one_record(
    org: Organization, batches: tuple[str, ...], of_another: bool
) -> None:
    id_ = BACKGROUND["request_id"]
    usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
    reporter = factories.organization() if of_another else org
    begun = event(org=reporter, usage=NOTHING, response={"source": "otlp"}, **BACKGROUND)
    events = {
        "P": event(org=org, status="pending", origin=id_, usage=NOTHING, **BACKGROUND),
        "D": event(org=org, origin=id_, completes=True, usage=usage, **BACKGROUND),
        "S": replace(begun, provider="openai", span=Span(TRACE, OUTER, [])),
    }

    for batch in batches:
        writer.add([events[each] for each in batch])

    (record,) = check()
    assert (record.org_id, record.cost_usd) == (org.pk, Decimal("0.00056"))


def chat_span(org: Organization, span: str, *around: str, answer: str = "", **fields: Any) -> Event:
    told_ = event(org=org, request_id=answer or f"{TRACE}:{span}", response={"source": "otlp"}, **fields)
    return replace(told_, provider="openai", span=Span(TRACE, span, list(around)))


def test_a_report_that_tells_the_tier_outweighs_one_with_more_counts(org: Organization) -> None:
    counts = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    finer = {**counts, "completion_tokens_details": {"reasoning_tokens": 10}}
    flex = {"service_tier": "flex"}
    writer.add([chat_span(org, INNER, OUTER, model="gpt-5", usage=counts, context=flex)])
    cost = UsageRecord.objects.get().cost_usd

    writer.add([chat_span(org, OUTER, model="gpt-5", usage=finer)])

    assert [record.cost_usd for record in check()] == [cost]


@pytest.mark.parametrize(("one", "other"), [("gpt-5", "gpt-5-mini"), ("claude-sonnet-4", "claude-sonnet-4-5")])
def test_a_model_is_not_another_whose_name_begins_alike(org: Organization, one: str, other: str) -> None:
    writer.add([chat_span(org, OUTER, model=one), chat_span(org, INNER, OUTER, model=other)])

    check(2)


def test_the_account_that_one_report_tells_is_kept(org: Organization) -> None:
    writer.add([replace(told(org, INNER, OUTER), account={"organization": "org-abc"})])
    writer.add([told(org, OUTER, usage=FINE)])

    assert [record.provider_organization for record in check()] == ["org-abc"]


@pytest.mark.parametrize("is_reversed", [False, True])
def test_of_equal_reports_the_one_with_an_id_is_kept_whichever_comes_first(
    org: Organization, is_reversed: bool
) -> None:
    reports = [told(org, OUTER, usage={**FINE, "output_tokens": 500}, answer=""), told(org, INNER, OUTER, usage=FINE)]

    for each in reversed(reports) if is_reversed else reports:
        writer.add([each])

    assert [record.cost_usd for record in check()] == [COST]


def test_a_span_with_the_sum_of_two_calls_gives_way_to_both(org: Organization) -> None:
    twice = {
        "input_tokens": 200, "output_tokens": 40, "cache_creation_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 100},
    }  # fmt: skip
    second = told(org, BESIDE, OUTER, usage=FINE, answer="msg_02ABCDEFGHIJKLMNOPQRS")
    writer.add([told(org, OUTER, usage=twice, answer="")])
    writer.add([told(org, INNER, OUTER, usage=FINE), second])

    assert [record.cost_usd for record in check(2)] == [COST, COST]
