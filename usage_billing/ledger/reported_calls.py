"""Makes one record of a call that is told more than once: by spans, events, files, and our own recorder.

Two reports are of one call if they have the provider's id of the answer, or if their spans lie within each other and
tell the same provider and model. Of two reports, that of our own recorder is kept, else the one whose cost is known,
else the one that tells more. A report of a call that another organisation has already is refused; where our own
recorder saw the call, the other organisation's reports of it are removed. The order of arrival does not matter: a
better report that comes later changes the record.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from usage_billing.costing.costs import ATTRIBUTION, SOURCE, Row
from usage_billing.ledger import counters, records
from usage_billing.ledger.records import RecordChange
from usage_billing.models import ReportedCall
from usage_billing.models.database import connection, on_commit
from usage_billing.recording import tags
from usage_billing.recording.event import ACCOUNT_COLUMNS, Event, Span

logger = logging.getLogger(__name__)

_IS_UNIQUE = re.compile(
    r"(chatcmpl-|cmpl-|resp_|msg_|gen-|req_)[\w-]{16,}|[0-9a-f]{32}(:[0-9a-f]{16})?|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    re.ASCII,
).fullmatch
"""An id that a provider gave, or a span has: the same in two organisations is one call. A sender's own ids are not."""
MOST_NOTES = 20_000
"""How many notes about a batch's traces are read, newest first: a trace without an end would hold up every drain."""


@dataclass
class Plan:
    """The writer's work: rows to insert, records to change in place and to remove, and notes about both.

    cost: gives a row its cost when it is inserted, if it has none yet.
    """

    rows: list[Row] = field(default_factory=list)
    cost: Callable[[Row], Row] | None = None
    changes: list[RecordChange] = field(default_factory=list)
    removed: list[Row] = field(default_factory=list)
    notes: list[ReportedCall] = field(default_factory=list)
    old_notes: list[int] = field(default_factory=list)

    @property
    def all_rows(self) -> list[Row]:
        """The records before and after, each with its tags."""
        return [*self.rows, *self.removed, *(row for each in self.changes for row in (each.before, each.after))]


def is_reported(row: Row) -> bool:
    """Return whether another program told the call, and not our own transport."""
    return SOURCE in row["response_metadata"]


def planned(events: Sequence[Event], rows: list[Row], cost: Callable[[Row], Row]) -> Plan:
    """Decide which of the rows (of these events, in their order) are new calls, and which change or repeat a known one.

    The rows have no cost yet: `cost` gives it. Without a report, now or ever, this is one query that finds nothing.
    """
    if any(map(is_reported, rows)):
        _lock()
        traces = {each.span.trace_id for each in events if each.span}
        known = _Known.of([row["request_id"] for row in rows], traces, {row["org_id"] for row in rows})
    elif ReportedCall.objects.exists():
        ids = [row["request_id"] for row in rows]
        reported = ReportedCall.objects.filter(request_id__in=ids).values_list("request_id", flat=True)
        known = _Known.of([*reported])
        if not known.by_id:
            return Plan(rows=rows, cost=cost)
    else:
        return Plan(rows=rows, cost=cost)
    for event, row in zip(events, rows, strict=True):
        known.take(cost(row), event.span)
    return known.plan()


def write_notes(plan: Plan) -> None:
    """Remember the reported calls and their spans."""
    if plan.old_notes:
        ReportedCall.objects.filter(pk__in=plan.old_notes).delete()
    ReportedCall.objects.bulk_create(plan.notes, ignore_conflicts=True, batch_size=1_000)


def forget_archived(calls: Set[tuple[int, str]]) -> None:
    """Delete the notes about these calls (organisation, request id), whose records leave the ledger. In a transaction
    of the ledger's role."""
    if ReportedCall.objects.exists():
        notes = ReportedCall.objects.filter(request_id__in=[request_id for _, request_id in calls])
        archived = [pk for pk, *call in notes.values_list("pk", "org_id", "request_id") if tuple(call) in calls]
        ReportedCall.objects.filter(pk__in=archived).delete()


def _lock() -> None:
    """Wait for other writers of reported calls: no unique key spans organisations. SQLite has one writer at a time."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('usage_billing.reported_calls'))")


@dataclass
class _Call:
    """A call: its row as it will be, its record (None: new), and the innermost spans that told it.

    notes: the ledger's, by span. is_repeated: it turned out to be another one of these calls.
    """

    row: Row
    record: Row | None
    spans: list[Span]
    notes: dict[str, int] = field(default_factory=dict)
    is_repeated: bool = False

    @property
    def was_reported(self) -> bool:
        """Whether the ledger has it as a report, or a report is all that the batch has of it so far."""
        return is_reported(self.row) or (self.record is not None and is_reported(self.record))

    @property
    def has_answer_id(self) -> bool:
        return not any(self.row["request_id"].startswith(f"{span.trace_id}:") for span in self.spans)


class _Known:
    """The calls of the ledger and of the batch, by their ids and by their spans.

    by_span, by_ancestor: (trace, span) → the calls that a span of this id told, and those that one within it told.
    """

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self.by_id: dict[str, list[_Call]] = defaultdict(list)
        self.by_span: dict[tuple[str, str], list[_Call]] = defaultdict(list)
        self.by_ancestor: dict[tuple[str, str], list[_Call]] = defaultdict(list)
        self.refused: list[Row] = []

    @classmethod
    def of(
        cls, request_ids: Iterable[str], trace_ids: Set[str] = frozenset(), org_ids: Set[int] = frozenset()
    ) -> _Known:
        """Read the records that these ids, and these traces of the organisations, may be about, locked."""
        of_traces = ReportedCall.objects.filter(trace_id__in=trace_ids, org_id__in=org_ids).order_by("-pk")
        notes = list(of_traces[:MOST_NOTES]) if trace_ids else []
        ids = {*request_ids, *(note.request_id for note in notes)}
        notes += ReportedCall.objects.filter(request_id__in=ids).exclude(pk__in=[note.pk for note in notes])
        by_record: dict[tuple[int, str], list[ReportedCall]] = defaultdict(list)
        for note in notes:
            by_record[note.org_id, note.request_id].append(note)
        known = cls()
        for row in records.locked(request_id__in=ids):
            of_row = by_record[row["org_id"], row["request_id"]]
            spans = [Span(note.trace_id, note.span_id, note.ancestors) for note in of_row if note.span_id]
            known._add(_Call(row, row, spans, {note.span_id: note.pk for note in of_row}))
        return known

    def _add(self, call: _Call) -> None:
        self.calls.append(call)
        self.by_id[call.row["request_id"]].append(call)
        for span in call.spans:
            self._note(call, span)

    def _note(self, call: _Call, span: Span) -> None:
        self.by_span[span.trace_id, span.span_id].append(call)
        for ancestor in span.ancestors:
            self.by_ancestor[span.trace_id, ancestor].append(call)

    def take(self, row: Row, span: Span | None) -> None:
        """Add a call that is told now, or find that it is known."""
        if self._is_refused(row):
            self.refused.append(row)
            return
        same = list(self._same(row, span))
        if not same:
            self._add(_Call(row, None, [span] if span else []))
            return
        call = same[0]
        has_answer_id = span is None or row["request_id"] != _id_of(span)
        request_id = row["request_id"] if has_answer_id and not call.has_answer_id else call.row["request_id"]
        is_within = span is not None and _is_around(call, span)
        rank = has_answer_id > call.has_answer_id, is_within
        call.row = merged(call.row, row, request_id, rank)
        self.by_id[request_id].append(call)
        if span is not None:
            for other in same[1:]:
                # A span around or within this one came before, and nothing told yet whose it is.
                is_around = _is_around(other, span)
                if other.has_answer_id or not (is_around or not call.spans):
                    continue
                other.is_repeated = True
                call.row = merged(call.row, other.row, call.row["request_id"])
                if not is_around:
                    call.spans = other.spans
                    for each in other.spans:
                        self._note(call, each)
            call.spans = _innermost(call.spans, span)
            self._note(call, span)

    def _is_refused(self, row: Row) -> bool:
        """Return whether another organisation has the call, by an id that a provider gave or a trace has.

        No report outweighs our own recorder: where that saw the call, the other organisation's reports of it go.
        """
        if not _IS_UNIQUE(row["request_id"]):
            return False
        others = [call for call in self.by_id.get(row["request_id"], ()) if call.row["org_id"] != row["org_id"]]
        if is_reported(row):
            return any(not call.is_repeated for call in others)
        for call in others:
            if is_reported(call.row):
                call.is_repeated = True
                self.refused.append(call.row)
        return False

    def _same(self, row: Row, span: Span | None) -> Iterator[_Call]:
        """Yield the organisation's known calls that this report is about, best first."""
        of_org = [call for call in self.by_id.get(row["request_id"], ()) if call.row["org_id"] == row["org_id"]]
        # Where no program but ours told the call, the writer tells repetitions from other calls with the same id.
        found = [call for call in of_org if call.was_reported or is_reported(row)]
        if span is not None:
            has_answer_id = row["request_id"] != _id_of(span)
            for call in self._near(span):
                # Two answers with two ids are two calls, wherever their spans lie.
                is_other_answer = has_answer_id and call.has_answer_id
                if call.row["org_id"] == row["org_id"] and not is_other_answer and _is_one_call(call, row, span):
                    found.append(call)
        seen: list[_Call] = []
        for call in found:
            if not call.is_repeated and not any(call is each for each in seen):
                seen.append(call)
                yield call

    def _near(self, span: Span) -> Iterator[_Call]:
        """Yield the calls that this span told, or one within or around it. A trace may have thousands of others."""
        place = span.trace_id, span.span_id
        yield from self.by_span.get(place, ())
        yield from self.by_ancestor.get(place, ())
        for ancestor in span.ancestors:
            yield from self.by_span.get((span.trace_id, ancestor), ())

    def plan(self) -> Plan:
        plan = Plan()
        for call in self.calls:
            if call.is_repeated:
                if call.record is not None:
                    plan.removed.append(call.record)
                    plan.old_notes += call.notes.values()
            elif call.record is None:
                plan.rows.append(call.row)
            elif call.row != call.record:
                plan.changes.append(RecordChange(before=call.record, after=call.row))
            if not call.is_repeated and (call.spans or is_reported(call.row)):
                plan.notes += _notes(call)
                spans = {span.span_id for span in call.spans}
                plan.old_notes += [
                    pk
                    for span_id, pk in call.notes.items()
                    if span_id not in spans | {""} or call.row["request_id"] != (call.record or call.row)["request_id"]
                ]
        if self.refused:
            on_commit(partial(_count_refused, self.refused))
        return plan


def _notes(call: _Call) -> Iterator[ReportedCall]:
    """Yield the notes that the ledger does not have yet."""
    is_renamed = call.record is not None and call.record["request_id"] != call.row["request_id"]
    key = {"org_id": call.row["org_id"], "request_id": call.row["request_id"]}
    for span in call.spans:
        if is_renamed or span.span_id not in call.notes:
            where = {"trace_id": span.trace_id, "span_id": span.span_id, "ancestors": span.ancestors}
            yield ReportedCall(**key, **where)
    if not call.spans and (is_renamed or "" not in call.notes):
        yield ReportedCall(**key)


def _id_of(span: Span) -> str:
    """Return the id of a call whose span does not tell the answer's."""
    return f"{span.trace_id}:{span.span_id}"


def _is_around(call: _Call, span: Span) -> bool:
    return any(each.span_id in span.ancestors for each in call.spans)


def _is_one_call(call: _Call, row: Row, span: Span) -> bool:
    """Return whether the span is one of the call's, lies around one, or within one, and tells the same model."""
    return (
        call.row["ai_provider"] == row["ai_provider"]
        and _is_one_model(call.row["ai_model"], row["ai_model"])
        and any(
            span.span_id == each.span_id or span.span_id in each.ancestors or each.span_id in span.ancestors
            for each in call.spans
            if each.trace_id == span.trace_id
        )
    )


def _is_one_model(one: str, other: str) -> bool:
    """Return whether the names are of one model: a span may tell the name that was asked for, without its date."""
    short, long = sorted((one, other), key=len)
    return short in ("", long) or (long.startswith(short) and bool(_IS_DATE(long[len(short) :])))


_IS_DATE = re.compile(r"[-@]?(\d{4}(-?\d{2}-?\d{2})?|latest)(-preview)?").fullmatch


def _innermost(spans: Sequence[Span], span: Span) -> list[Span]:
    """Return the spans with this one, without those around others: what lies beside is another call."""
    if any(span.span_id == each.span_id or span.span_id in each.ancestors for each in spans):
        return list(spans)
    return [*(each for each in spans if each.span_id not in span.ancestors), span]


def merged(known: Row, told: Row, request_id: str, rank: tuple[bool, bool] = (False, False)) -> Row:
    """Return the row of the call from two reports. The better one tells the usage; both tell who caused the call."""
    has_id, is_within = rank
    is_better = (*_worth(told, has_id), is_within) > (*_worth(known, False), False)
    better, other = (told, known) if is_better else (known, told)
    row = {**better, "request_id": request_id, "org_id": known["org_id"]}
    for name in (*ATTRIBUTION, *ACCOUNT_COLUMNS.values()):
        row[name] = better[name] or other[name]
    row["tags"] = tags.bounded({**better["tags"], **other["tags"], **better["tags"]})
    row["request_metadata"] = {**other["request_metadata"], **better["request_metadata"]}
    return {**row, "id": known["id"]} if "id" in known else {name: row[name] for name in row if name != "id"}


def _worth(row: Row, has_id: bool) -> tuple[bool, bool, bool, bool, int]:
    tells_tier = "service_tier" in row["usage"] or "service_tier" in row["response_metadata"].get("context", {})
    return not is_reported(row), row["cost_usd"] is not None, has_id, tells_tier, _numbers(row["usage"])


def _numbers(usage: Any) -> int:
    """Return how many numbers a usage block tells."""
    if isinstance(usage, dict):
        return sum(map(_numbers, usage.values()))
    return int(isinstance(usage, int | float) and not isinstance(usage, bool))


def _count_refused(rows: Sequence[Row]) -> None:
    counters.counts[counters.IN_ANOTHER_ORGANIZATION] += len(rows)
    logger.warning(
        "%d calls were reported for an organisation although another one has them; the first report stands. One has the"
        " id %s of %s.",
        len(rows),
        rows[0]["request_id"],
        rows[0]["ai_provider"],
    )
