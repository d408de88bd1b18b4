"""Attributes the calls of a job to whoever began it, once, in whatever order and from whichever machines events come.

A job is work that ends later: a batch, a session, a run, a background response. Its events are told apart by their ids:
the call that began it has the job's id; `completes` marks an answer that was fetched later; the others are the job's
requests. While the beginning is not known, a call is attributed to whoever read it, and `JobPart` remembers it: the
beginning moves it. `planned` decides, `writer` writes. One process decides at a time (`_lock`), because no unique key
spans organisations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from django.db.models import QuerySet
from msgspec.structs import replace

from usage_billing.costing import costs
from usage_billing.costing.costs import Row
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.ledger import job_usage, records, reported_calls
from usage_billing.ledger.records import RecordChange
from usage_billing.models import JobPart
from usage_billing.models.database import connection
from usage_billing.recording.event import Event, decode, encode

FILE, CALL, END, LISTED = JobPart.Kind
IDS_A_QUERY = 5_000


@dataclass
class Plan:
    """The writer's work: rows to insert; records to change in place, to move to another organisation, to remove."""

    rows: list[Row] = field(default_factory=list)
    changes: list[RecordChange] = field(default_factory=list)
    moves: list[RecordChange] = field(default_factory=list)
    removed: list[Row] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows or self.changes or self.moves or self.removed)

    @property
    def deleted(self) -> list[Row]:
        """The records whose place is given up."""
        return [*self.removed, *(move.before for move in self.moves)]

    @property
    def all_rows(self) -> list[Row]:
        """The records before and after, each with its tags."""
        changed = [*self.changes, *self.moves]
        return [*self.rows, *self.removed, *(row for each in changed for row in (each.before, each.after))]


NOTHING = Plan()


def is_of_job(event: Event) -> bool:
    """Return whether the event is about work that ends later."""
    return bool(event.origin or event.completes or event.status == "pending")


def planned(events: Sequence[Event], overrides: PriceOverrides) -> Plan:
    """Decide what these events change, and write the notes about jobs. Call it first in the ledger's transaction."""
    _lock()
    events = [event if event.origin else replace(event, origin=event.request_id) for event in events]
    work = _Work(events, overrides)
    pairs = zip(events, costs.rows(events, overrides), strict=True)
    for event, row in sorted(pairs, key=lambda pair: _step(pair[0])):
        work.take(event, row)
    return work.plan()


def _step(event: Event) -> int:
    """Beginnings first, then ends, then requests: so that most rows find their job."""
    return 0 if _begins(event) else 1 if event.completes else 2


def _begins(event: Event) -> bool:
    return event.request_id == event.origin and not event.completes


def _lock() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('usage_billing.jobs'))")


@dataclass
class _Entry:
    """A row, and the record that it was; None for a new one."""

    before: Row | None
    row: Row


Key = tuple[str, str]
"""The host, and an id that its provider gave."""


class _Work:
    """The records and notes that some events are about, read once, and changed in memory."""

    def __init__(self, events: Sequence[Event], overrides: PriceOverrides) -> None:
        self._overrides = overrides
        self._others: list[Row] = []  # rows of calls that only share an id with a job's
        ids = {id_ for event in events for id_ in (event.request_id, event.origin)}
        files = {file for event in events if event.job for file in event.job.files}
        noted = [*_notes(part__in=ids, kind=FILE)]
        noted += _notes(job__in=ids | files | {note.job for note in noted})
        self._notes = {_values(note): note for note in noted}
        self._parts: dict[Key, set[tuple[str, str]]] = defaultdict(set)  # job → kind and part
        self._job_of_file: dict[Key, str] = {}
        self._listed = {(note.host, note.job): note.event for note in noted if note.kind == LISTED}
        for host, job, kind, part in self._notes:
            self._note(host, job, kind, part)
        self._entries: dict[str, list[_Entry]] = defaultdict(list)
        ids |= {id_ for note in noted for id_ in (note.job, note.part)}
        for some in _slices(sorted(ids - {""})):
            for row in records.locked(request_id__in=some):
                self._entries[row["request_id"]].append(_Entry(row, dict(row)))

    def take(self, event: Event, row: Row) -> None:
        """Apply one event, whose row has the attribution of the event itself."""
        host = costs.host_of(event)
        if event.completes:
            self._end(event, row, host)
        elif _begins(event):
            self._begin(event, row, host)
        else:
            self._request(event, row, host)
            if event.job and event.job.is_read:
                self._end(replace(event, request_id=event.origin), row, host)

    # ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, event: Event, row: Row, host: str) -> None:
        entry = self._entry(event)
        if entry is None:
            self._add_job(_Entry(None, job_usage.begun(row, event, self._overrides)), host)
            if listed := self._listed.pop((host, event.origin), ""):
                self._parts[host, event.origin].discard((LISTED, ""))
                self._end(decode(listed.encode()), row, host)
        elif reported_calls.is_reported(entry.row):
            entry.row = _taken_over(entry.row, job_usage.begun(row, event, self._overrides))
        elif costs.is_by_reader(entry.row):
            entry.row = costs.begun_by(entry.row, row, self._overrides)
            self._claim(entry, host)
        else:
            # The same event again, or another call with the same id: the writer tells them apart.
            self._others.append(row)

    def _end(self, event: Event, row: Row, host: str) -> None:
        """Complete the job; its record may be that of whoever read its end."""
        job = self._job_of_file.get((host, event.origin), event.origin)
        entry = self._entry(replace(event, request_id=job))
        for file in event.job.files if event.job else ():
            self._belongs(host, file, job)
        is_read = event.job is not None and event.job.is_read and not event.job.has_ended
        if is_read and entry is None:
            self._note(host, job, END, "")  # the results are recorded, and the job's own record may never come
        elif is_read and entry is not None:
            entry.row = job_usage.read(entry.row, self._overrides)
        elif entry is None and event.is_listed:
            self._listed[host, job] = encode(event).decode()
            self._note(host, job, LISTED, "")
        elif entry is None:
            row = costs.attributed_to_reader(row, None, self._overrides)
            self._add_job(_Entry(None, job_usage.ended(row, event, self._overrides)), host)
        elif reported_calls.is_reported(entry.row) and not event.is_listed:
            row = costs.attributed_to_reader(row, None, self._overrides)
            entry.row = _taken_over(entry.row, job_usage.ended(row, event, self._overrides))
        elif event.job:
            entry.row = job_usage.ended(entry.row, event, self._overrides)
        elif entry.row["status"] == "pending":
            entry.row = costs.completed(entry.row, event, self._overrides)

    def _request(self, event: Event, row: Row, host: str) -> None:
        """Record a request of the job, unless somebody has read it before."""
        if self._is_known(event, row):
            return
        job = self._job_of_file.get((host, event.origin), event.origin)
        origin = self._entry(replace(event, request_id=job))
        if origin is not None and not costs.is_by_reader(origin.row):
            (row,) = costs.attributed_like([row], origin.row, self._overrides)
        else:
            row = costs.attributed_to_reader(row, origin.row if origin else None, self._overrides)
            self._note(host, job, CALL, row["request_id"])
        self._entries[row["request_id"]].append(_Entry(None, row))
        if origin is not None:
            origin.row = job_usage.with_request(origin.row, row, self._overrides)

    # ── Jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _add_job(self, entry: _Entry, host: str) -> None:
        """Add the first record of a job, and count the requests that came before it."""
        self._entries[entry.row["request_id"]].append(entry)
        for call in self._waiting(entry.row["request_id"], host):
            entry.row = job_usage.with_request(entry.row, call.row, self._overrides)
        self._apply_end(entry, host)
        if not costs.is_by_reader(entry.row):
            self._claim(entry, host)

    def _claim(self, entry: _Entry, host: str) -> None:
        """Attribute the requests that came before the beginning to whoever began the job."""
        waiting = self._waiting(entry.row["request_id"], host)
        after = costs.attributed_like([call.row for call in waiting], entry.row, self._overrides) if waiting else []
        for call, row in zip(waiting, after, strict=True):
            call.row = row
        parts = self._parts[host, entry.row["request_id"]]
        parts -= {part for part in parts if part[0] == CALL}

    def _belongs(self, host: str, file: str, job: str) -> None:
        """Note a file of a job. What waited for the file's job waits for this one from now on."""
        self._note(host, job, FILE, file)
        moved = self._parts.pop((host, file), set())
        if moved:
            self._parts[host, job] |= moved
            if entry := self._of_job(job, host):
                for call in self._calls(moved, host):
                    entry.row = job_usage.with_request(entry.row, call.row, self._overrides)
                self._apply_end(entry, host)
                if not costs.is_by_reader(entry.row):
                    self._claim(entry, host)

    def _apply_end(self, entry: _Entry, host: str) -> None:
        """If all results were read before the job's record came, it is complete."""
        parts = self._parts[host, entry.row["request_id"]]
        if (END, "") in parts:
            parts.discard((END, ""))
            entry.row = job_usage.read(entry.row, self._overrides)

    def _waiting(self, job: str, host: str) -> list[_Entry]:
        return self._calls(self._parts[host, job], host)

    def _calls(self, parts: Collection[tuple[str, str]], host: str) -> list[_Entry]:
        """The records of the calls among these parts."""
        ids = sorted(part for kind, part in parts if kind == CALL)
        return [entry for id_ in ids for entry in self._entries[id_] if _is_at(entry.row, host)]

    # ── Look-ups ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _entry(self, event: Event) -> _Entry | None:
        """The record with the event's id, in whichever organisation; a pending one before others."""
        matching = [entry for entry in self._entries[event.request_id] if costs.may_complete(entry.row, event)]
        return min(matching, key=lambda entry: entry.row["status"] != "pending", default=None)

    def _of_job(self, job: str, host: str) -> _Entry | None:
        return next((entry for entry in self._entries[job] if _is_at(entry.row, host)), None)

    def _is_known(self, event: Event, row: Row) -> bool:
        """Whether a record of any organisation is the same answer."""
        return any(
            costs.may_complete(entry.row, event)
            and entry.row["usage"] == row["usage"]
            and row["ai_model"] in ("", entry.row["ai_model"])
            for entry in self._entries[event.request_id]
        )

    def _note(self, host: str, job: str, kind: str, part: str) -> None:
        self._parts[host, job].add((kind, part))
        if kind == FILE:
            self._job_of_file[host, part] = job

    # ── Result ───────────────────────────────────────────────────────────────────────────────────────────────────

    def plan(self) -> Plan:
        """Write the notes, and return what changed in the records."""
        plan = Plan()
        for entry in (entry for entries in self._entries.values() for entry in entries):
            if _is_superfluous(entry.row):
                self._note(entry.row["response_metadata"]["host"], entry.row["request_id"], END, "")
                if entry.before is not None:
                    plan.removed.append(entry.before)
            elif entry.before is None:
                plan.rows.append(entry.row)
            elif entry.before["org_id"] != entry.row["org_id"]:
                plan.moves.append(RecordChange(entry.before, entry.row))
            elif entry.before != entry.row:
                plan.changes.append(RecordChange(entry.before, entry.row))
        plan.rows += self._others  # last, for they may repeat other rows: the first one counts
        plan.changes.sort(key=lambda change: change.before["id"])
        self._write_notes()
        return plan

    def _write_notes(self) -> None:
        wanted = {(host, job, *part) for (host, job), parts in self._parts.items() for part in parts}
        if gone := [note.pk for values, note in self._notes.items() if values not in wanted]:
            for some in _slices(gone):
                JobPart.objects.filter(pk__in=some).delete()
        new = [
            JobPart(host=host, job=job, kind=kind, part=part, event=self._event_of(host, job, kind))
            for host, job, kind, part in sorted(wanted - self._notes.keys())
        ]
        JobPart.objects.bulk_create(new, ignore_conflicts=True, batch_size=1_000)

    def _event_of(self, host: str, job: str, kind: str) -> str:
        return self._listed[host, job] if kind == LISTED else ""


def _notes(**lookup: Any) -> Iterator[JobPart]:
    (name, ids), *rest = lookup.items()
    for some in _slices(sorted(ids)):
        found: QuerySet[JobPart] = JobPart.objects.filter(**{name: some}, **dict(rest))
        yield from found


_values = attrgetter("host", "job", "kind", "part")


def _slices(ids: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (ids[start : start + IDS_A_QUERY] for start in range(0, len(ids), IDS_A_QUERY))


def _taken_over(report: Row, own: Row) -> Row:
    """Return our own row in the place of a report of the same call, which another organisation may have sent."""
    if report["org_id"] != own["org_id"]:
        return {**own, "id": report["id"]}
    return reported_calls.merged(report, own, own["request_id"])


def _is_superfluous(row: Row) -> bool:
    """Whether a job's record says nothing: nobody here began the job, and its requests have records of their own."""
    return costs.is_by_reader(row) and bool(row["response_metadata"].get("job", {}).get("in_its_requests"))


def _is_at(row: Row, host: str) -> bool:
    """Whether the row's call went to this host. Rows of earlier versions may lack the host."""
    return bool(row["response_metadata"].get("host", host) == host)
