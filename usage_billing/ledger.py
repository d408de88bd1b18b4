"""The only writer of `token_usage` and `token_usage_daily`: price it, convert it, insert it once, add it to the totals.

Each write is one transaction on the caller's connection; the drain has one of its own, so that a record of spent money
never rolls back with the view that spent it. The statements are plain `INSERT … ON CONFLICT … RETURNING`, the same on
SQLite, PostgreSQL and Citus.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlsplit

from django.db import connection, models, transaction
from django.utils import timezone

from usage_billing import exchange, pricing, rollup
from usage_billing.attribution import Accounts
from usage_billing.models import DailyUsage, UsageRecord
from usage_billing.models.daily_usage import GRAINS, MEASURES
from usage_billing.models.fields import MONEY_PLACES
from usage_billing.recording.event import Event

ROWS_A_STATEMENT = 500
"""SQLite takes at most 32,766 parameters a statement; a record has 33 columns."""

Row = dict[str, Any]


def add(events: Sequence[Event]) -> int:
    """Enter the calls that are not in the ledger yet. Returns how many were new.

    An event may come any number of times: `(org_id, request_id)` decides, and totals grow by the rows really inserted.
    """
    with transaction.atomic():
        return enter(_rows(events))


def enter(rows: Sequence[Row]) -> int:
    """Insert finished rows (column → value, all of `COLUMNS`) once and add them to the totals, in one transaction.

    Returns how many were new. For rows that are costed already; `add` is the way for calls.
    """
    first_of_each = {(row["org_id"], row["request_id"]): row for row in reversed(rows)}
    in_order = [first_of_each[key] for key in sorted(first_of_each)]
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        inserted: list[Row] = []
        for some in _slices(in_order):
            cursor.execute(*_insert(UsageRecord, COLUMNS, some, _ONCE))
            inserted += [first_of_each[key] for key in cursor.fetchall()]
        for some in _slices(rollup.roll_up(inserted)):
            cursor.execute(*_insert(DailyUsage, DAILY_COLUMNS, some, _ADD_TO_TOTALS))
    return len(inserted)


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


def _rows(events: Sequence[Event]) -> list[Row]:
    """The ledger's rows for these calls, costed and converted."""
    accounts = Accounts(event.attribution for event in events)
    recorded_at = timezone.now()
    placed = [_placed(event, accounts, recorded_at) for event in events]
    rates = exchange.rates_on({row["usage_date"] for row in placed})
    for row in placed:
        rate = rates[row["usage_date"]]
        row["usd_rub_rate"] = rate
        row["cost_rub"] = _to_rub(row["cost_usd"], rate)
    return placed


def _placed(event: Event, accounts: Accounts, recorded_at: datetime) -> Row:
    """One call as a row, but for the roubles."""
    given = event.attribution
    org = accounts.org(given)
    created_at = datetime.fromtimestamp(event.started_at, tz=UTC)
    address = urlsplit(event.url)
    provider = pricing.provider_of(f"{address.scheme}://{address.netloc}", event.flavour)
    block = pricing.decode_usage(event.usage)
    usage = pricing.read_usage(event.flavour, block)
    tokens = pricing.tokens_of(usage, block)
    context = pricing.context_of(event.context, block)
    price = _price(event, provider, usage, context, created_at)
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
        "ai_provider": _text(provider, "ai_provider"),
        "ai_model": _text(event.model, "ai_model"),
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "cached_tokens": tokens.cached,
        "cache_write_tokens": tokens.cache_write,
        "reasoning_tokens": tokens.reasoning,
        "usage": _storable(pricing.compact(block)),
        "cost_usd": price.usd,
        "price_source": price.source,
        "execution_time_ms": max(0, event.duration_ms),
        "status": event.status,
        "error_code": _text(event.error_code, "error_code"),
        "request_metadata": _storable({**given.metadata, **accounts.not_found(given)}),
        "response_metadata": _storable({**event.context, **event.response}),
        "created_at": created_at,
        "recorded_at": recorded_at,
        "usage_date": created_at.astimezone(org.zone).date(),
    }


def _price(event: Event, provider: str, usage: Any, context: Mapping[str, str], at: datetime) -> pricing.Price:
    match event.status:
        case "failed" if usage is None:
            return pricing.NOT_CHARGED
        case "aborted":
            return pricing.unpriced("cut-short")
        case "pending":
            return pricing.unpriced("pending")
        case _:
            return pricing.price(provider, event.model, usage, context, at)


def _to_rub(usd: Any, rate: Any) -> Any:
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
    fields = {field.attname: field for field in model._meta.concrete_fields}
    row = f"({', '.join(['%s'] * len(columns))})"
    values = ", ".join([row] * len(rows))
    statement = f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) VALUES {values} {then}"  # noqa: S608 - built of our own names
    return statement, [fields[name].get_db_prep_save(row[name], connection) for row in rows for name in columns]


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
