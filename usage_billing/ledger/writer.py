"""The only writer of `token_usage` and `token_usage_daily`: what `costing` worked out, once, and into the totals.

Each write is one transaction in the ledger's role on the caller's connection; the drain has one of its own, so that a
record of spent money never rolls back with the view that spent it. The statements are plain `INSERT … ON CONFLICT …
RETURNING`, the same on SQLite, PostgreSQL and Citus.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import Any

from django.db.models import QuerySet

from usage_billing.costing import costs, pricing
from usage_billing.costing.costs import Row
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.ledger import archived, bulk, rollup
from usage_billing.models import DailyUsage, UsageRecord
from usage_billing.models.database import connection, on_commit
from usage_billing.models.fields import as_sqlite_keeps
from usage_billing.recording import gate
from usage_billing.recording.event import Event
from usage_billing.tenancy import roles

logger = logging.getLogger(__name__)

_kept_apart = 0


def ids_kept_apart() -> int:
    """How many calls this process has inserted under an id of their own, since theirs was another call's already."""
    return _kept_apart


def add(events: Sequence[Event]) -> int:
    """Enter the calls that are not in the ledger yet, and settle those that waited. Returns how many were new.

    An event may come any number of times: `(org_id, request_id)` decides, and totals grow by the rows really inserted.
    """
    in_order = sorted(map(gate.admitted, events), key=lambda event: event.request_id)
    with roles.applied(roles.AS_LEDGER):
        own = PriceOverrides.load()
        inserted, gained = _insert_once(costs.rows([event for event in in_order if not event.completes], own))
        completed, unseen = _complete([event for event in in_order if event.completes], own)
        # The answer of a call whose beginning we never saw is a call itself.
        late, gained_late = _insert_once(costs.rows(unseen, own))
        _add_to_totals([gained, gained_late], completed)
    return inserted + late


def enter(rows: Sequence[Row]) -> int:
    """Insert finished rows (column → value, all of `COLUMNS`) once and add them to the totals, in one transaction.

    Returns how many were new. For rows that are costed already; `add` is the way for calls.
    """
    with roles.applied(roles.AS_LEDGER):
        inserted, gained = _insert_once(sorted(rows, key=lambda row: row["request_id"]))
        _add_to_totals([gained], [])
    return inserted


def apply_changes(ids: Sequence[int], change: Callable[[Row], Row]) -> list[RecordChange]:
    """Let `change` give records other values, and their totals with them, in one transaction. Returns what changed.

    The records are locked meanwhile; `change` gets each as it is and returns it as it is to be.
    """
    with roles.applied(roles.AS_LEDGER):
        changes = _changes(_locked(pk__in=ids), change)
        _update(changes)
        _add_to_totals([], changes)
    return changes


def would_amend(ids: Sequence[int], change: Callable[[Row], Row]) -> list[RecordChange]:
    """What `apply_changes` would change now; nothing is written, and nothing is locked."""
    return _changes(_records(pk__in=ids), change)


@dataclass(frozen=True)
class RecordChange:
    """A record as it was and as it is now, each column → value with the `id`."""

    before: Row
    after: Row


def _changes(records: QuerySet[UsageRecord, Row], change: Callable[[Row], Row]) -> list[RecordChange]:
    """What differs when it is stored: more digits than the database keeps are no change."""
    return [
        RecordChange(before=before, after=after)
        for before in records
        if (after := as_stored(change(dict(before)))) != before
    ]


def as_stored(row: Row) -> Row:
    """The row as it comes back from the database. SQLite keeps 15 digits of a number, PostgreSQL all."""
    if connection.vendor != "sqlite":
        return row
    return {name: as_sqlite_keeps(float(value)) if isinstance(value, Decimal) else value for name, value in row.items()}


def _complete(answers: Sequence[Event], own: pricing.Own) -> tuple[list[RecordChange], list[Event]]:
    """Enter the answers with the calls that wait for them, whoever fetched them from the same provider and host.

    Returns what changed, and the answers of calls that are not here. One that comes again finds its call settled, and
    changes nothing.
    """
    found: dict[str, list[Row]] = {}
    for row in _locked(request_id__in={event.request_id for event in answers}):
        found.setdefault(row["request_id"], []).append(row)
    changes: list[RecordChange] = []
    unseen: list[Event] = []
    for event in answers:
        calls = found.get(event.request_id, [])
        theirs = [number for number, row in enumerate(calls) if costs.may_complete(row, event)]
        if not theirs:
            unseen.append(event)
        elif pending := [number for number in theirs if calls[number]["status"] == "pending"]:
            before = calls[pending[0]]
            after = calls[pending[0]] = costs.completed(before, event, own)
            changes.append(RecordChange(before, after))
    _update(changes)
    return changes, unseen


def _insert_once(rows: Iterable[Row]) -> tuple[int, list[rollup.Row]]:
    """Insert what is neither there yet nor archived. Returns how many those are, and what they add to the totals.

    In the order of their request ids: writers that entered the same calls in another order could deadlock. A call that
    comes with the id of another one, and says that it used something else, is inserted under an id of its own.
    """
    first_of_each: dict[tuple[int, str], Row] = {}
    again: list[Row] = []

    def noted() -> Iterator[bulk.Row]:
        for row in rows:
            if first_of_each.setdefault((row["org_id"], row["request_id"]), row) is row:
                yield _values(row)
            else:
                again.append(row)

    with bulk.inserting(UsageRecord, COLUMNS, noted(), _ONCE) as inserted:
        # Nearly always all are new. The database inserts meanwhile.
        gained = rollup.roll_up(first_of_each.values())
    again += [first_of_each[key] for key in first_of_each.keys() - {*inserted}]
    if others := sorted(_other_calls(again), key=lambda row: row["request_id"]):
        first_of_each |= {(row["org_id"], row["request_id"]): row for row in others}
        added = bulk.insert(UsageRecord, COLUMNS, map(_values, others), _ONCE)
        on_commit(partial(_count_kept_apart, [first_of_each[key] for key in added]))
        inserted += added
    new = archived.without_known([first_of_each[key] for key in inserted])
    return len(new), gained if len(new) == len(first_of_each) and not others else rollup.roll_up(new)


def _other_calls(again: Sequence[Row]) -> list[Row]:
    """Those of the rows, whose ids are in the ledger, that are another call than the one there: each under a new id.

    The new id follows from the row, so that the same event, delivered twice, is one record.
    """
    if not again:
        return []
    there = {
        (org_id, request_id): (usage, model, created_at)
        for org_id, request_id, usage, model, created_at in UsageRecord.objects.filter(
            org_id__in={row["org_id"] for row in again}, request_id__in={row["request_id"] for row in again}
        ).values_list("org_id", "request_id", "usage", "ai_model", "created_at")
    }
    others = {}
    for row in again:
        known = there.get((row["org_id"], row["request_id"]))
        if known is None or known[:2] == (row["usage"], row["ai_model"]):
            continue
        # A beginning has no usage to compare. It comes again after its answer, or late from another machine's outbox,
        # and is no later than the call that is there.
        if row["status"] != "pending" or row["created_at"] > known[2]:
            # A line of a batch's output takes no time; it may be read again at any moment.
            moment = row["created_at"].isoformat() if row["execution_time_ms"] else ""
            told = json.dumps([row["usage"], row["ai_model"], moment], sort_keys=True)
            mark = f"~{hashlib.sha256(told.encode()).hexdigest()[:16]}"
            request_id = row["request_id"][: gate.LENGTHS["request_id"] - len(mark)] + mark
            others[row["org_id"], request_id] = {**row, "request_id": request_id}
    return list(others.values())


def _count_kept_apart(rows: Sequence[Row]) -> None:
    global _kept_apart
    if rows:
        _kept_apart += len(rows)
        logger.warning(
            "%d calls came with the id of another call and other usage; each was recorded under an id of its own, such"
            " as %s of %s. The server that answers does not give each response an id.",
            len(rows),
            rows[0]["request_id"],
            rows[0]["ai_provider"],
        )


def _add_to_totals(gained: Iterable[list[rollup.Row]], changes: Sequence[RecordChange]) -> None:
    """One sorted upsert for all: writers that took the totals in another order could deadlock."""
    changed = [change for change in changes if change.after != change.before]
    after = rollup.roll_up(change.after for change in changed)
    before = rollup.roll_up(change.before for change in changed)
    bulk.insert(DailyUsage, rollup.COLUMNS, rollup.together(*gained, after, rollup.negative(before)), _ADD_TO_TOTALS)
    if days := {change.before["usage_date"] for change in changed}:
        # A call that moved to another key may have left one of no calls at all.
        DailyUsage.objects.filter(usage_date__in=days, requests_count=0).delete()


def _records(**lookup: Any) -> QuerySet[UsageRecord, Row]:
    """Records as rows, in the order of their ids."""
    records: QuerySet[UsageRecord, Row] = UsageRecord.objects.filter(**lookup).order_by("pk").values("id", *COLUMNS)
    return records


def _locked(**lookup: Any) -> QuerySet[UsageRecord, Row]:
    """Records as rows, held until the transaction ends; in the order of their ids, so that lockers cannot deadlock."""
    records = _records(**lookup)
    return records.select_for_update() if connection.features.has_select_for_update else records


def _update(changes: Sequence[RecordChange]) -> None:
    """Write what changed: the same columns of each record, so that one statement does for all."""
    changed = [name for name in COLUMNS if any(each.after[name] != each.before[name] for each in changes)]
    if changed:
        values = itemgetter(*changed, "id", "org_id")
        bulk.update(UsageRecord, changed, ["id", "org_id"], [values(change.after) for change in changes])


def rebuild_day(day: date, org_id: int | None = None) -> int:
    """Make a day's totals what the ledger's rows add up to; of one organisation, and of all of them, or of every one.

    What each total lacks is added to it, as a writer adds a call: nobody waits but for the rows that were wrong.
    Returns how many those were. Raises `archived.ArchivedError` if calls of the day are not in the ledger.
    """
    with roles.applied(roles.AS_LEDGER), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Two at once would both add what is lacking.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('usage_billing.rebuild'))")
        cursor.execute(_repair(org_id), [day, day])
        repaired = int(cursor.rowcount)
        DailyUsage.objects.filter(usage_date=day, requests_count=0).delete()
        # Last, so that no call can have been archived before they were added up.
        archived.expect_none(day, day)
    return repaired


def _repair(org_id: int | None) -> str:
    lacking = rollup.compared_sql("usage_date = %s", connection.vendor)
    keys = ", ".join(rollup.IN_ORDER[connection.vendor])
    columns = ", ".join(rollup.COLUMNS)
    of_org = "1 = 1" if org_id is None else f"org_id IN ({rollup.ALL['org_id']}, {org_id:d})"
    return (
        f"INSERT INTO token_usage_daily ({columns}) SELECT {columns} FROM ({lacking}) AS lacking"  # noqa: S608 - built of our own names
        f" WHERE {of_org} ORDER BY {keys} {_ADD_TO_TOTALS}"
    )


# ── Statements ───────────────────────────────────────────────────────────────────────────────────────────────────

COLUMNS = tuple(field.attname for field in UsageRecord._meta.concrete_fields if not field.primary_key)
_values = itemgetter(*COLUMNS)
_ONCE = "ON CONFLICT (org_id, request_id) DO NOTHING RETURNING org_id, request_id"
_ADD_TO_TOTALS = f"ON CONFLICT ({', '.join(rollup.KEY)}) DO UPDATE SET {rollup.added_sql('token_usage_daily')}"
