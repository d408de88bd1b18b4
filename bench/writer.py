"""`python -m bench.writer <events>`: for each line that it reads, a round of writing; prints its figures as JSON.

The database of DATABASE_URL has organisations and people already (`bench.data`). A round drains events to its ledger;
on PostgreSQL it also writes as many such rows by `COPY` into the same table with the same indexes.
"""

from __future__ import annotations

import json
import random
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import django
import msgspec
from django.db import connection

from bench.data import HABITS, Habit

if TYPE_CHECKING:
    from usage_billing.recording.event import Event

SIZED = 200_000
"""Rows of the copy of the table whose size is taken."""

Figures = dict[str, float]


def main() -> None:
    django.setup()
    number = int(sys.argv[1])
    is_postgres = connection.vendor == "postgresql"
    drained_events(number // 10)  # warm-up
    if is_postgres:
        copied_rows()
    for count, _ in enumerate(sys.stdin):
        ways: list[Callable[[], Figures]] = [lambda: drained_events(number), copied_rows]
        figures: Figures = {}
        for way in ways[:1] if not is_postgres else ways if count % 2 else ways[::-1]:
            figures |= way()
        if is_postgres and count == 0:
            figures |= sizes()
        print(json.dumps(figures), flush=True)


def drained_events(number: int) -> Figures:
    """Return events a second: read from the outbox, priced, converted, inserted once, added up, deleted there."""
    from usage_billing.ledger import drain
    from usage_billing.recording import recorder
    from usage_billing.recording.event import encode

    outbox = recorder.outbox()
    outbox.append(*map(encode, events(number)))
    before = _calls()
    began = time.perf_counter()
    while drain.drain_all(outbox):
        pass
    seconds = time.perf_counter() - began
    assert _calls() - before == number
    assert outbox.backlog().events == outbox.backlog().rejected == 0
    return {"ledger": number / seconds}


def copied_rows() -> Figures:
    """Rows a second of `COPY`: the newest of the table once more, with other request ids."""
    from usage_billing.ledger.writer import COLUMNS

    salt = secrets.token_hex(4)
    new_id = f"left(md5('{salt}' || request_id) || md5(request_id || '{salt}'), length(request_id))"
    values = ", ".join(new_id if name == "request_id" else name for name in COLUMNS)
    names, newest = ", ".join(COLUMNS), min(20_000, _calls() // 2)
    with connection.cursor() as cursor:
        select = f"SELECT {values} FROM (SELECT * FROM token_usage ORDER BY id DESC LIMIT {newest}) AS newest"  # noqa: S608 - our own names
        with cursor.copy(f"COPY ({select}) TO STDOUT") as copy:
            rows = [bytes(block) for block in copy]
        began = time.perf_counter()
        with cursor.copy(f"COPY token_usage ({names}) FROM STDIN") as copy:
            for start in range(0, len(rows), 100):
                copy.write(b"".join(rows[start : start + 100]))
        return {"COPY": newest / (time.perf_counter() - began)}


def sizes() -> Figures:
    """Bytes a call of a table that has grown row by row, as the ledger's does, and of each of its indexes."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE grown (LIKE token_usage INCLUDING ALL)")
        cursor.execute("INSERT INTO grown SELECT * FROM token_usage ORDER BY id LIMIT %s", [SIZED])
        rows = cursor.rowcount
        cursor.execute("VACUUM ANALYZE grown")
        cursor.execute("SELECT pg_table_size('grown'), pg_indexes_size('grown')")
        table, indexes = cursor.fetchone()
        # Their names are PostgreSQL's own; what they are, their definitions tell.
        cursor.execute(
            "SELECT regexp_replace(pg_get_indexdef(indexrelid), '^CREATE (UNIQUE )?INDEX .* USING btree ', ''),"
            " pg_relation_size(indexrelid) FROM pg_index WHERE indrelid = 'grown'::regclass ORDER BY 2 DESC"
        )
        of_indexes = {f"index {columns}": size / rows for columns, size in cursor.fetchall()}
        cursor.execute("DROP TABLE grown")
    return {"bytes": (table + indexes) / rows, "table": table / rows, "indexes": indexes / rows, **of_indexes}


def _calls() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM token_usage")
        (count,) = cursor.fetchone()
    return int(count)


_chance = random.Random(0)


def events(number: int) -> Iterator[Event]:
    """Yield events of organisations by Zipf's law, each habit as often as it is in `bench.data`."""
    from usage_billing.models import Membership
    from usage_billing.recording.context import Attribution
    from usage_billing.recording.event import Event

    people: dict[int, list[int]] = {}
    for org, user in Membership.objects.order_by("org_id").values_list("org_id", "user_id"):
        people.setdefault(org, []).append(user)
    orgs = _chance.choices(list(people), [1 / n for n in range(1, len(people) + 1)], k=number)
    habits = _chance.choices(HABITS, [habit.weight for habit in HABITS], k=number)
    now = time.time()
    for org, habit in zip(orgs, habits, strict=True):
        yield Event(
            request_id=habit.id_prefix + f"{_chance.getrandbits(256):064x}"[: habit.id_length],
            started_at=now,
            duration_ms=_chance.randrange(300, 20_000),
            flavour="messages"
            if habit.provider == "anthropic"
            else "chat"
            if "chat" in habit.endpoint
            else "responses",
            url=f"https://api.{habit.provider}.com{habit.endpoint}",
            status="succeeded",
            model=habit.model,
            usage=msgspec.Raw(msgspec.json.encode(_usage(habit))),
            context={"service_tier": "default"} if habit.provider == "openai" else {},
            attribution=Attribution(
                org_id=org,
                user_id=_chance.choice(people[org]) if habit.agent_id else None,
                agent_id=habit.agent_id,
                request_type=habit.request_type,
                content_id=f"post-{_chance.randrange(number // 3)}" if _chance.random() < 0.4 else None,
                workflow_id=f"{_chance.randrange(number // 12):032x}" if _chance.random() < 0.1 else None,
            ),
        )


def _usage(habit: Habit) -> dict[str, object]:
    told = _chance.randrange(1, 2 * habit.tokens_in)
    given = _chance.randrange(1, 2 * habit.tokens_out)
    cached = _chance.choice([0, told // 2])
    if habit.provider == "anthropic":
        return {
            "input_tokens": told - cached,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": cached,
            "output_tokens": given,
            "service_tier": "standard",
        }
    told_as, given_as = ("prompt", "completion") if "chat" in habit.endpoint else ("input", "output")
    return {
        f"{told_as}_tokens": told,
        f"{given_as}_tokens": given,
        "total_tokens": told + given,
        f"{told_as}_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        f"{given_as}_tokens_details": {"reasoning_tokens": given // 4},
    }


if __name__ == "__main__":
    main()
