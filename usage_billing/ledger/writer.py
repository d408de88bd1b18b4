"""The only writer of `token_usage` and its rollups: inserts each call once, with its cost, and adds it to the rollups.

Each write is one transaction in the ledger's role on the caller's connection. The drain has its own connection, so that
a record of spent money never rolls back with the view that spent it. The statements are plain `INSERT … ON CONFLICT …
RETURNING`, which work on SQLite, PostgreSQL and Citus alike.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import Any

from usage_billing.costing import containers, costs
from usage_billing.costing.costs import Row
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.ledger import (
    archived,
    bulk,
    changing,
    copying,
    counters,
    holds,
    jobs,
    records,
    reported_calls,
    rollup,
    summing,
    tag_values,
)
from usage_billing.ledger.records import RecordChange
from usage_billing.ledger.summing import CountedTags
from usage_billing.models import UsageRecord, usage_block
from usage_billing.models.daily_usage import MEASURES
from usage_billing.models.database import connection, on_commit
from usage_billing.models.fields import as_sqlite_keeps
from usage_billing.recording import gate
from usage_billing.recording.event import Event
from usage_billing.tenancy import distribution, roles

logger = logging.getLogger(__name__)


class ReportedMeanwhileError(Exception):
    """Raised where another writer inserted a report of a call that this one records. A second attempt finds it."""


def add(events: Sequence[Event]) -> int:
    """Insert the calls that the ledger does not have yet, and complete pending ones. Returns how many were inserted.

    An event may come any number of times: `(org_id, request_id)` identifies a call, and only inserted rows are added to
    the rollups (guarantee 4, docs/guarantees.md).
    """
    admitted = sorted(map(gate.admitted, events), key=lambda event: event.request_id)
    of_jobs = [event for event in admitted if jobs.is_of_job(event)]
    others = [event for event in admitted if not jobs.is_of_job(event)] if of_jobs else admitted
    if of_jobs:
        ids = {event.request_id for event in of_jobs}
        if any(event.request_id in ids and costs.SOURCE in event.response for event in others):
            # Each plan reads the records as they are: a report must find what the job has written.
            return add(of_jobs) + add(others)
    with roles.applied(roles.AS_LEDGER):
        distribution.begin_write()
        if any(containers.FIELD in event.response for event in events):
            _lock_containers()
        overrides = PriceOverrides.load()
        # First, because it locks the jobs: a writer that holds rows must not wait for them.
        plan = jobs.planned(of_jobs, overrides) if of_jobs else jobs.NOTHING
        rows = costs.attributed(others)
        told = reported_calls.planned(others, rows, partial(costs.cost, overrides=overrides))
        changes = [each for each in told.changes if as_stored(each.after) != each.before]
        tags = tag_values.registered([*told.all_rows, *plan.all_rows])
        if told.removed:
            _delete(told.removed)
        inserted = _insert_once(told.rows, told.cost)
        changing.update(changes)
        reported_calls.write_notes(told)
        late = _carry_out(plan)
        holds.settle(events)
        # Last, because writers wait for each other's totals of all organisations until the commit.
        _add_to_rollups([*inserted, *late], [*changes, *plan.changes], [*told.removed, *plan.deleted], tags)
    return len(inserted) + len(late) - len(plan.moves)


def _lock_containers() -> None:
    """Wait for other writers of calls that used containers: two of them would both be charged for one session.

    SQLite has one writer at a time.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('usage_billing.containers'))")


def _carry_out(plan: jobs.Plan) -> list[Row]:
    """Write the rows of jobs. Returns those that were inserted, the moved ones among them.

    A row is moved to another organisation by deleting and inserting it: Citus cannot update the distributing column.
    """
    if not plan:
        return []
    if plan.deleted:
        _delete(plan.deleted)
    rows = [*(move.after for move in plan.moves), *plan.rows]
    written = _insert_once(rows)
    changing.update(plan.changes)
    return written


def _delete(rows: Sequence[Row]) -> None:
    org_ids = {row["org_id"] for row in rows}
    UsageRecord.objects.filter(pk__in=[row["id"] for row in rows], org_id__in=org_ids).delete()


def add_durations(rows: Sequence[Row]) -> None:
    """Add the durations of these records to the rollups, which count everything else of them. In one transaction."""
    start, end = len(rollup.DAILY.key), len(rollup.DAILY.key) + len(MEASURES)
    with roles.applied(roles.AS_LEDGER):
        distribution.begin_write()
        counts = [(*row[:start], *[0] * len(MEASURES), *row[end:-1], 0) for row in summing.roll_up(rows)]
        _add(rollup.DAILY, counts, [])


def insert(rows: Sequence[Row]) -> int:
    """Insert rows that already have their costs (column → value, all of `COLUMNS`) once, in one transaction.

    Returns how many were inserted. Events go through `add`.
    """
    with roles.applied(roles.AS_LEDGER):
        distribution.begin_write()
        tags = tag_values.registered(rows)
        inserted = _insert_once(rows)
        _add_to_rollups(inserted, [], [], tags)
    return len(inserted)


def apply_changes(
    ids: Sequence[int], change: Callable[[Row], Row], org_ids: Collection[int] | None = None
) -> list[RecordChange]:
    """Change records and their rollups in one transaction, with the records locked. Returns what changed.

    `change` gets each record's row and returns the new one, with the same tags: new ones would not be registered.
    `org_ids`: the organisations of the records, if known.
    """
    with roles.applied(roles.AS_LEDGER):
        distribution.begin_write()
        changes = _changes(copying.records(ids, org_ids, lock=True), change)
        if changes:
            changing.update(changes)
            tags = tag_values.counted(row for change in changes for row in (change.before, change.after))
            _add_to_rollups([], changes, [], tags)
    return changes


def preview_changes(
    ids: Sequence[int], change: Callable[[Row], Row], org_ids: Collection[int] | None = None
) -> list[RecordChange]:
    """Return what `apply_changes` would change; nothing is written or locked."""
    return _changes(copying.records(ids, org_ids, lock=False), change)


def _changes(rows: Iterable[Row], change: Callable[[Row], Row]) -> list[RecordChange]:
    """Return the changes that the database can store: digits beyond its precision are no change."""
    stored = storing()
    return [
        RecordChange(before=before, after=after) for before in rows if (after := stored(change(dict(before)))) != before
    ]


def as_stored(row: Row) -> Row:
    """Return the row as the database returns it."""
    return storing()(row)


def storing() -> Callable[[Row], Row]:
    """Return the function that `as_stored` applies: SQLite keeps 15 digits of a number, PostgreSQL all."""
    return _rounded if connection.vendor == "sqlite" else _unchanged


def _unchanged(row: Row) -> Row:
    return row


def _rounded(row: Row) -> Row:
    return {name: as_sqlite_keeps(float(value)) if isinstance(value, Decimal) else value for name, value in row.items()}


def _insert_once(rows: Iterable[Row], cost: Callable[[Row], Row] | None = None) -> list[Row]:
    """Insert the rows that are neither in the ledger nor archived. Returns them.

    `cost` gives each row its cost; meanwhile the database inserts the rows before it. A row that has another call's id
    but reports different usage is inserted under a new id.
    """
    by_key: dict[tuple[int, str], Row] = {}
    in_order = sorted(rows, key=records.key_of)
    repeated = [row for row in in_order if by_key.setdefault(records.key_of(row), row) is not row]

    def costed() -> Iterator[Any]:
        for key, row in by_key.items():
            if cost:
                by_key[key] = row = cost(row)
            yield _values(row)

    inserted = bulk.insert(UsageRecord, COLUMNS, costed(), _ONCE)
    repeated = [cost(row) for row in repeated] if cost else repeated
    repeated += [by_key[key] for key in by_key.keys() - {*inserted}]
    if others := sorted(_other_calls(repeated), key=records.key_of):
        by_key |= {records.key_of(row): row for row in others}
        under_new_ids = bulk.insert(UsageRecord, COLUMNS, map(_values, others), _ONCE)
        on_commit(partial(_count_new_ids, [by_key[key] for key in under_new_ids]))
        inserted += under_new_ids
    new = archived.without_known([by_key[key] for key in inserted])
    if unpriced := [row["price_source"] for row in new if row["cost_usd"] is None]:
        on_commit(partial(counters.count_unpriced, unpriced))
    return new


def _other_calls(repeated: Sequence[Row]) -> list[Row]:
    """Return those of the rows that are another call than the ledger's record with their id, each under a new id.

    The new id follows from the row, so that the same event, delivered twice, is one record.
    """
    if not repeated:
        return []
    known_calls: dict[tuple[int, str], Row] = {
        (row["org_id"], row["request_id"]): dict(row)
        for row in UsageRecord.objects.filter(
            org_id__in={row["org_id"] for row in repeated}, request_id__in={row["request_id"] for row in repeated}
        ).values("org_id", "request_id", "usage", "ai_model", "created_at", "response_metadata", *usage_block.TOKENS)
    }
    others = {}
    for row in repeated:
        known = known_calls.get((row["org_id"], row["request_id"]))
        if known is None:
            continue
        if (usage_block.whole(known["usage"], known), known["ai_model"]) == (row["usage"], row["ai_model"]):
            continue
        if reported_calls.is_reported(row):
            continue  # told in other words
        if reported_calls.is_reported(known):
            raise ReportedMeanwhileError(f"{row['request_id']} was reported while it was recorded.")
        # A pending row has no usage to compare. If it repeats a completed call, or comes late from another machine's
        # outbox, it is not later than the record. (Of a clock that is ahead, each delivery has another moment.)
        is_later = row["created_at"] > known["created_at"] and "clock_ahead_s" not in row["response_metadata"]
        if row["status"] != "pending" or is_later:
            # A line of a batch's output has no duration, and may be read again at any time.
            has_moment = row["execution_time_ms"] and "clock_ahead_s" not in row["response_metadata"]
            moment = row["created_at"].isoformat() if has_moment else ""
            content = json.dumps([row["usage"], row["ai_model"], moment], sort_keys=True)
            suffix = f"~{hashlib.sha256(content.encode()).hexdigest()[:16]}"
            request_id = row["request_id"][: gate.LENGTHS["request_id"] - len(suffix)] + suffix
            others[row["org_id"], request_id] = {**row, "request_id": request_id}
    return list(others.values())


def _count_new_ids(rows: Sequence[Row]) -> None:
    if rows:
        counters.counts[counters.IDS_KEPT_APART] += len(rows)
        logger.warning(
            "%d calls had the id of another call but reported different usage; each was recorded under a new id, such"
            " as %s of %s. The server that answers does not give each response its own id.",
            len(rows),
            rows[0]["request_id"],
            rows[0]["ai_provider"],
        )


def _add_to_rollups(
    new: Iterable[Row], changes: Sequence[RecordChange], removed: Sequence[Row], tags: CountedTags
) -> None:
    """Add to each rollup in the order of `rollup.place`: writers that lock rows in different orders could deadlock."""
    if not new and not removed and changing.keep_their_rows(changes):
        changing.add_to_rollups(changes, tags)
        return
    changed = [change for change in changes if change.after != change.before]
    gained = [*new, *(change.after for change in changed)]
    lost = [*(change.before for change in changed), *removed]
    _add(rollup.DAILY, summing.roll_up(gained), summing.roll_up(lost))
    if tags:
        _add(rollup.TAGS, summing.roll_up_tags(gained, tags), summing.roll_up_tags(lost, tags))


def _add(of: rollup.Rollup, gained: list[summing.Row], lost: list[summing.Row]) -> None:
    rows = summing.merged(of, gained, summing.negated(of, lost)) if lost else gained
    bulk.insert(of.model, of.columns, rows, rollup.upsert_sql(of))
    if lost:
        day, org_id = of.key.index("usage_date"), of.key.index("org_id")
        _delete_empty(of, {row[day] for row in lost}, org_id__in={row[org_id] for row in lost})


def _delete_empty(of: rollup.Rollup, days: Iterable[date], **lookup: Any) -> None:
    """Delete rollup rows that no longer count any call."""
    empty = of.model._default_manager.filter(grain__in=[*of.grains], usage_date__in=days, requests_count=0, **lookup)
    empty.delete()


def rebuild_day(day: date, org_id: int | None = None) -> int:
    """Rebuild a day's rollups from its records: all of them, or those of one organisation and those without one.

    The difference is added to each wrong row, as a writer adds a call, so that only writers of these rows wait.
    Returns how many rows were wrong. Raises `archived.ArchivedError` if calls of the day are archived.
    """
    with roles.applied(roles.AS_LEDGER), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Two rebuilds at once would both add the same difference.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('usage_billing.rebuild'))")
        distribution.begin_comparison()
        of_org = "1 = 1" if org_id is None else f"org_id IN ({rollup.ALL['org_id']}, {org_id:d})"
        repaired = 0
        for of in rollup.ROLLUPS:
            cursor.execute(rollup.repair_sql(of, "usage_date = %s", connection.vendor, of_org), [day, day])
            if wrong := int(cursor.rowcount):
                repaired += wrong
                _delete_empty(of, [day])
        # Checked last, so that no call can have been archived before the sums were taken.
        archived.expect_none(day, day)
    return repaired


# ── Statements ───────────────────────────────────────────────────────────────────────────────────────────────────

COLUMNS = records.COLUMNS


def _values(row: Row) -> tuple[Any, ...]:
    values: tuple[Any, ...] = _columns(records.as_kept(row))
    return values


_columns = itemgetter(*COLUMNS)
_ONCE = "ON CONFLICT (org_id, request_id) DO NOTHING RETURNING org_id, request_id"
