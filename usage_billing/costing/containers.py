"""Charges each hosted container once a session, to the call that used it first (OpenAI, Pricing, Built-in tools).

A container serves many responses; it ends when it was idle for 20 minutes. The record of the call that is charged keeps
the container in `usage.containers`, so that repricing charges the same call again. All records keep the containers they
used in `response_metadata.containers`, with their memory: a response that names a container does not tell its memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from usage_billing.models import UsageRecord

SESSION = timedelta(minutes=20)
"""The session that a price stands for (OpenAI, Pricing: 20 minutes; API reference: Containers, `expires_after`)."""

FIELD = "containers"

Row = dict[str, Any]


def with_memory(row: Row, pending: Row) -> Row:
    """Return a completed row with the memory that its pending one knew from the request (`container_memory`)."""
    memory = pending["response_metadata"].get("container_memory")
    if not memory or not _containers(row):
        return row
    known = {container: told or memory for container, told in _containers(row).items()}
    return {**row, "response_metadata": {**row["response_metadata"], FIELD: known}}


def charge(rows: Sequence[Row]) -> None:
    """Keep in the usage of each row the containers that it is charged for. The rows may come in any order.

    Reads the records of 20 minutes before and after the rows that used containers, if there are any. Whoever inserts
    the rows holds a lock (`ledger.writer`).
    """
    if using := [row for row in rows if _containers(row)]:
        _Sessions(using).charge(using)


class _Use(NamedTuple):
    request_id: str
    at: datetime
    memory: str
    charged: bool


class _Sessions:
    """The known uses of the containers of these rows, from 20 minutes before them to 20 minutes after them.

    A session that a later call was charged for covers an earlier call, too: outboxes are not drained in order.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self._uses: dict[tuple[str, str], list[_Use]] = defaultdict(list)
        moments = [row["created_at"] for row in rows]
        used = UsageRecord.objects.filter(
            created_at__gt=min(moments) - SESSION,
            created_at__lt=max(moments) + SESSION,
            response_metadata__containers__has_any_keys=sorted({name for row in rows for name in _containers(row)}),
        )
        for record in used.values("ai_provider", "request_id", "created_at", "response_metadata", "usage"):
            self._note(dict(record))

    def charge(self, rows: Sequence[Row]) -> None:
        for row in sorted(rows, key=lambda row: (row["created_at"], row["request_id"])):
            self._charge(row)

    def _note(self, row: Row) -> None:
        charged = row["usage"].get(FIELD, {})
        for container, memory in _containers(row).items():
            use = _Use(row["request_id"], row["created_at"], memory, container in charged)
            self._uses[row["ai_provider"], container].append(use)

    def _charge(self, row: Row) -> None:
        charged: dict[str, str] = {}
        memories: dict[str, str] = {}
        for container, told in _containers(row).items():
            near = [
                use for use in self._uses[row["ai_provider"], container] if abs(use.at - row["created_at"]) < SESSION
            ]
            own = next((use for use in near if _is_same(use.request_id, row["request_id"])), None)
            memories[container] = told or next((use.memory for use in [own, *near] if use and use.memory), "")
            if own.charged if own else not any(use.charged for use in near):
                charged[container] = memories[container]
        row["response_metadata"] = {**row["response_metadata"], FIELD: memories}
        row["usage"] = {**row["usage"], FIELD: charged} if charged else _without(row["usage"])
        self._note(row)


def _containers(row: Row) -> Mapping[str, str]:
    found = row["response_metadata"].get(FIELD)
    return found if isinstance(found, dict) else {}


def _is_same(known: str, given: str) -> bool:
    """Whether the record is the row's own: the event came before, perhaps under a new id (`ledger.writer`)."""
    return known == given or known.startswith(f"{given}~")


def _without(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in usage.items() if name != FIELD}
