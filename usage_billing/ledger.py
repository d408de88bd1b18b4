"""The only writer of `token_usage` and `token_usage_daily`: price it, convert it, insert it once, add it to the totals.

Each write is one transaction on the caller's connection; the drain has one of its own, so that a record of spent money
never rolls back with the view that spent it. The statements are plain `INSERT … ON CONFLICT … RETURNING`, the same on
SQLite, PostgreSQL and Citus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any
from urllib.parse import urlsplit

from django.db import connection, models, transaction
from django.db.models import QuerySet
from django.utils import timezone

from usage_billing import exchange, metering, pricing, rollup
from usage_billing.attribution import Accounts
from usage_billing.models import DailyUsage, UsageRecord
from usage_billing.models.daily_usage import GRAINS, MEASURES
from usage_billing.models.fields import MONEY_PLACES
from usage_billing.overrides import PriceOverrides
from usage_billing.recording.event import Event, flavour_of

ROWS_A_STATEMENT = 500
"""SQLite takes at most 32,766 parameters a statement; a record has 33 columns."""

Row = dict[str, Any]


def add(events: Sequence[Event]) -> int:
    """Enter the calls that are not in the ledger yet, and settle those that waited. Returns how many were new.

    An event may come any number of times: `(org_id, request_id)` decides, and totals grow by the rows really inserted.
    """
    with transaction.atomic():
        own = PriceOverrides.load()
        answers = [event for event in events if event.settles]
        inserted = _insert_once(_rows([event for event in events if not event.settles], own))
        settled = [_settle(event, own) for event in answers]
        # The answer of a call whose beginning we never saw is a call itself.
        inserted += _insert_once(
            _rows([event for event, amended in zip(answers, settled, strict=True) if amended is None], own)
        )
        _add_to_totals(inserted, [amended for amended in settled if amended is not None])
    return len(inserted)


def enter(rows: Sequence[Row]) -> int:
    """Insert finished rows (column → value, all of `COLUMNS`) once and add them to the totals, in one transaction.

    Returns how many were new. For rows that are costed already; `add` is the way for calls.
    """
    with transaction.atomic():
        inserted = _insert_once(rows)
        _add_to_totals(inserted, [])
    return len(inserted)


def amend(ids: Sequence[int], change: Callable[[Row], Row]) -> list[Amendment]:
    """Let `change` give records other values, and their totals with them, in one transaction. Returns what changed.

    The records are locked meanwhile; `change` gets each as it is and returns it as it is to be.
    """
    with transaction.atomic():
        amendments = _amendments(_locked(pk__in=ids), change)
        _update(amendments)
        _add_to_totals([], amendments)
    return amendments


def would_amend(ids: Sequence[int], change: Callable[[Row], Row]) -> list[Amendment]:
    """What `amend` would change now; nothing is written, and nothing is locked."""
    return _amendments(_records(pk__in=ids), change)


@dataclass(frozen=True)
class Amendment:
    """A record as it was and as it is now, each column → value with the `id`."""

    before: Row
    after: Row


def _amendments(records: QuerySet[UsageRecord, Row], change: Callable[[Row], Row]) -> list[Amendment]:
    """What differs when it is stored: more digits than the database keeps are no change."""
    return [
        Amendment(before=before, after=after)
        for before in records
        if (after := as_stored(change(dict(before)))) != before
    ]


def as_stored(row: Row) -> Row:
    """The row as it comes back from the database. SQLite keeps 15 digits of a number, PostgreSQL all."""
    if connection.vendor != "sqlite":
        return row
    return {name: _FIFTEEN(float(value)) if isinstance(value, Decimal) else value for name, value in row.items()}


_FIFTEEN = Context(prec=15).create_decimal_from_float


def _settle(event: Event, own: pricing.Own) -> Amendment | None:
    """The answer of a call that waits: entered with it, whoever fetched it. None if there is no such call.

    An answer that comes again finds the call settled, and changes nothing.
    """
    known = sorted(_locked(request_id=event.request_id), key=lambda row: row["status"] != "pending")
    if not known:
        return None
    before = known[0]
    if before["status"] != "pending":
        return Amendment(before, before)
    answered = _placed(event, Accounts([event.attribution]), timezone.now())
    taken = ("ai_model", "usage", "status", "error_code", "response_metadata", "recorded_at")
    lasted = max(0, round((event.started_at - before["created_at"].timestamp()) * 1000) + event.duration_ms)
    after = cost({**before, **{name: answered[name] for name in taken}, "execution_time_ms": lasted}, own)
    amendment = Amendment(before, after)
    _update([amendment])
    return amendment


def _insert_once(rows: Sequence[Row]) -> list[Row]:
    """Insert what is not there yet; returns those rows."""
    first_of_each = {(row["org_id"], row["request_id"]): row for row in reversed(rows)}
    in_order = [first_of_each[key] for key in sorted(first_of_each)]
    inserted: list[Row] = []
    with connection.cursor() as cursor:
        for some in _slices(in_order):
            cursor.execute(*_insert(UsageRecord, COLUMNS, some, _ONCE))
            inserted += [first_of_each[key] for key in cursor.fetchall()]
    return inserted


def _add_to_totals(inserted: Sequence[Row], amendments: Sequence[Amendment]) -> None:
    """One sorted upsert for all: writers that took the totals in another order could deadlock."""
    changed = [amendment for amendment in amendments if amendment.after != amendment.before]
    gained = rollup.roll_up([*inserted, *(amendment.after for amendment in changed)])
    lost = rollup.roll_up(amendment.before for amendment in changed)
    rows = rollup.difference(gained, lost)
    with connection.cursor() as cursor:
        for some in _slices(rows):
            cursor.execute(*_insert(DailyUsage, DAILY_COLUMNS, some, _ADD_TO_TOTALS))
        if days := {row["usage_date"] for row in lost}:
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


def _update(amendments: Sequence[Amendment]) -> None:
    """Write what changed: the same columns of each record, so that one statement does for all."""
    changed = [name for name in COLUMNS if any(each.after[name] != each.before[name] for each in amendments)]
    if changed:
        assignments = ", ".join(f"{name} = %s" for name in changed)
        afters = [amendment.after for amendment in amendments]
        with connection.cursor() as cursor:
            cursor.executemany(
                f"UPDATE token_usage SET {assignments} WHERE id = %s AND org_id = %s",  # noqa: S608 - built of our own names
                list(_stored(UsageRecord, [*changed, "id", "org_id"], afters)),
            )


def rebuild_day(day: date, org_id: int | None = None) -> None:
    """Make a day's totals anew out of the ledger's rows; of one organisation, and of all of them, or of every one.

    Writers of the totals wait while it runs; readers see the old totals until it commits.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Rows that a writer has inserted but not committed are added by that writer, after this lock is gone.
            cursor.execute("LOCK TABLE token_usage_daily IN SHARE ROW EXCLUSIVE MODE")
        for grain, kept in GRAINS.items():
            where, values = "usage_date = %s", list[Any]([day])
            if org_id is not None and "org_id" in kept:
                where, values = f"{where} AND org_id = %s", [day, org_id]
            cursor.execute(f"DELETE FROM token_usage_daily WHERE {where} AND grain = %s", [*values, grain])  # noqa: S608 - built of our own names
            select = rollup.select_sql(grain, where)
            cursor.execute(f"INSERT INTO token_usage_daily ({', '.join(DAILY_COLUMNS)}) {select}", values)


def _rows(events: Sequence[Event], own: pricing.Own) -> list[Row]:
    """The ledger's rows for these calls, costed and converted."""
    accounts = Accounts(event.attribution for event in events)
    recorded_at = timezone.now()
    placed = [_placed(event, accounts, recorded_at) for event in events]
    rates = exchange.rates_on({row["usage_date"] for row in placed})
    return [cost(row | {"usd_rub_rate": rates[row["usage_date"]]}, own) for row in placed]


def _placed(event: Event, accounts: Accounts, recorded_at: datetime) -> Row:
    """One call as a row, but for its cost."""
    given = event.attribution
    org = accounts.org(given)
    created_at = datetime.fromtimestamp(event.started_at, tz=UTC)
    address = urlsplit(event.url)
    origin = f"{address.scheme}://{address.netloc}"
    return {
        "org_id": org.pk,
        "user_id": accounts.user_id(given),
        "content_id": _text(given.content_id, "content_id") if given.content_id else None,
        "workflow_id": _text(given.workflow_id, "workflow_id") if given.workflow_id else None,
        **{
            name: _text(getattr(given, name), name)
            for name in ("agent_id", "request_type", "platform", "content_type", "task_type")
        },
        "request_id": _text(event.request_id, "request_id"),
        "endpoint": _text(address.path, "endpoint"),
        "ai_provider": _text(pricing.provider_of(origin, event.flavour), "ai_provider"),
        "ai_model": _text(event.model, "ai_model"),
        "usage": _storable(_usage(event)),
        "execution_time_ms": max(0, event.duration_ms),
        "status": event.status,
        "error_code": _text(event.error_code, "error_code"),
        "request_metadata": _storable({**given.metadata, **accounts.not_found(given)}),
        "response_metadata": _storable({**event.response, **({"context": event.context} if event.context else {})}),
        "created_at": created_at,
        "recorded_at": recorded_at,
        "usage_date": created_at.astimezone(org.zone).date(),
    }


def _usage(event: Event) -> dict[str, Any]:
    """Everything that the answer tells of its usage, in one object: the provider's block, and what stands beside."""
    block = metering.decode_usage(event.usage)
    usage: dict[str, Any] = dict(block) if isinstance(block, Mapping) else {}
    if event.units:
        usage["units"] = event.units
    if event.parts:
        usage["parts"] = [
            {"model": part.model, "api": part.api, "usage": metering.decode_usage(part.usage)} for part in event.parts
        ]
    return dict(metering.compact(usage))


def cost(row: Row, own: pricing.Own) -> Row:
    """The row with its tokens, price and roubles, worked out of what it says of its usage; `usd_rub_rate` is given.

    The one way to a cost, for new calls and for `reprice_usage`.
    """
    flavour = flavour_of(row["endpoint"])
    usage = row["usage"]
    metered = metering.meter(flavour, usage) if flavour else metering.Metered(problem="unknown-endpoint")
    price = _price(row, metered, own)
    tokens = metered.tokens
    response = {key: value for key, value in row["response_metadata"].items() if key != "cost_parts"}
    if len(price.parts) > 1:
        response["cost_parts"] = {kind: format(usd.normalize(), "f") for kind, usd in price.parts.items()}
    return row | {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "cached_tokens": tokens.cached,
        "cache_write_tokens": tokens.cache_write,
        "reasoning_tokens": tokens.reasoning,
        "cost_usd": price.usd,
        "cost_rub": to_rub(price.usd, row["usd_rub_rate"]),
        "price_source": _text(price.source, "price_source"),
        "response_metadata": response,
    }


def _price(row: Row, metered: metering.Metered, own: pricing.Own) -> pricing.Price:
    match row["status"]:
        case "failed" if not row["usage"]:
            return pricing.NOT_CHARGED
        case "aborted":
            return pricing.unpriced("cut-short")
        case "pending":
            return pricing.unpriced("pending")
        case _:
            context = pricing.context_of(row["response_metadata"].get("context", {}), row["usage"])
            return pricing.price(
                row["ai_provider"],
                row["ai_model"],
                metered,
                context,
                org_id=row["org_id"],
                at=row["created_at"],
                own=own,
            )


def to_rub(usd: Any, rate: Any) -> Any:
    """Roubles of an amount of USD, both as they are known."""
    if usd is None or usd == 0:
        return usd  # what is free is free at any rate
    return None if rate is None else round(usd * rate, MONEY_PLACES)


# ── Statements ───────────────────────────────────────────────────────────────────────────────────────────────────

COLUMNS = tuple(field.attname for field in UsageRecord._meta.concrete_fields if not field.primary_key)
DAILY_COLUMNS = (*rollup.KEY, *MEASURES)
_ONCE = "ON CONFLICT (org_id, request_id) DO NOTHING RETURNING org_id, request_id"
_ADD_TO_TOTALS = f"ON CONFLICT ({', '.join(rollup.KEY)}) DO UPDATE SET " + ", ".join(
    f"{name} = token_usage_daily.{name} + excluded.{name}" for name in MEASURES
)


def _insert(model: type[models.Model], columns: Sequence[str], rows: Sequence[Row], then: str) -> tuple[str, list[Any]]:
    row = f"({', '.join(['%s'] * len(columns))})"
    values = ", ".join([row] * len(rows))
    statement = f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) VALUES {values} {then}"  # noqa: S608 - built of our own names
    return statement, [value for values in _stored(model, columns, rows) for value in values]


def _stored(model: type[models.Model], columns: Sequence[str], rows: Iterable[Row]) -> Iterator[list[Any]]:
    """The values of each row as the database driver takes them."""
    fields = {field.attname: field for field in model._meta.concrete_fields}
    return ([fields[name].get_db_prep_save(row[name], connection) for name in columns] for row in rows)


def _slices(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    return (rows[start : start + ROWS_A_STATEMENT] for start in range(0, len(rows), ROWS_A_STATEMENT))


_LENGTHS = {field.attname: field.max_length or 0 for field in UsageRecord._meta.concrete_fields}


def _text(value: str, column: str) -> str:
    """What fits the column; PostgreSQL has no NUL in text."""
    return value.replace("\x00", "")[: _LENGTHS[column]]


def _storable(value: Any) -> Any:
    """JSON without the NUL characters that PostgreSQL refuses."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, Mapping):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
