"""Reads our own export of calls, JSON Lines or CSV: restores them in this or another installation.

A row has the usage as the provider told it, so the cost is worked out anew, at the prices of its time; the cost of the
exporting installation is kept as evidence (`response_metadata.told_cost_usd`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args

import msgspec
from django.utils.translation import gettext

from usage_billing.costing import containers
from usage_billing.costing.costs import SOURCE, TOLD_COST
from usage_billing.ingest.events import EventError, Given, bounded, told_cost
from usage_billing.ingest.files.rows import Maps, count_of, expect_past, moment_of, object_of, text_of
from usage_billing.ingest.reported import base_of
from usage_billing.recording import Attribution, Event, gate
from usage_billing.recording.event import ACCOUNT_COLUMNS, Part, Status, flavour_of

_WORKED_OUT = ("cost_parts", "context", "host")
"""Facts in `response_metadata` that the ledger writes by itself."""
_ESCAPED = re.compile(r"\A'(?=\s*[=+\-@＝＋－＠])")
"""The apostrophe that the export puts before what a spreadsheet would run."""


def call_of(row: Mapping[str, Any], maps: Maps, now: datetime) -> Given:
    """Return the call of a row. Raises `EventError`."""
    row = {name: _ESCAPED.sub("", cell) if isinstance(cell, str) else cell for name, cell in row.items()}
    if missing := {"request_id", "created_at", "ai_provider", "usage", "org"} - row.keys():
        raise EventError(
            gettext("This is no row of our export: it lacks %(columns)s.") % {"columns": ", ".join(sorted(missing))}
        )
    status: Any = text_of(row.get("status")) or "succeeded"
    if status not in get_args(Status):
        raise EventError(gettext("There is no status “%(status)s”.") % {"status": status})
    told = object_of(row.get("response_metadata"))
    usage = dict(object_of(row.get("usage")))
    cost = told_cost(text_of(row.get("cost_usd")).replace(",", "."))
    endpoint, provider = text_of(row.get("endpoint")), text_of(row.get("ai_provider"))
    response = {name: value for name, value in told.items() if name not in _WORKED_OUT}
    units, parts = usage.pop("units", {}), usage.pop("parts", [])
    usage.pop(containers.FIELD, None)  # the ledger charges containers by itself
    event = Event(
        request_id=text_of(row.get("request_id")),
        started_at=expect_past(moment_of(row, ("created_at",)), now).timestamp(),
        duration_ms=count_of(row, "execution_time_ms"),
        flavour=flavour_of(endpoint) or "unknown",
        url=f"{base_of(provider, text_of(told.get('host')))}{endpoint}",
        status=status,
        error_code=text_of(row.get("error_code")),
        model=text_of(row.get("ai_model")),
        usage=msgspec.Raw(msgspec.json.encode(usage or None)),
        units=units if isinstance(units, dict) else {},
        parts=_parts(parts),
        context={name: text_of(value) for name, value in object_of(told.get("context")).items()},
        response=response | {SOURCE: "import"} | ({TOLD_COST: cost} if cost else {}),
        account={key: text_of(row.get(column)) for key, column in ACCOUNT_COLUMNS.items() if row.get(column)},
        attribution=_attribution(row),
        provider=provider,
    )
    if not event.request_id or len(event.request_id) > gate.LENGTHS["request_id"]:
        raise EventError(
            gettext("request_id must have 1 to %(most)d characters.") % {"most": gate.LENGTHS["request_id"]}
        )
    org, user = text_of(row.get("org")), text_of(row.get("user"))
    return Given(bounded(event), maps.org(org) or org or None, maps.user(user) or user or None)


def _parts(parts: Any) -> list[Part]:
    found = parts if isinstance(parts, list) else []
    return [
        Part(text_of(part.get("model")), part["api"], msgspec.Raw(msgspec.json.encode(part.get("usage"))))
        for part in found
        if isinstance(part, dict) and isinstance(part.get("api"), str)
    ]


def _attribution(row: Mapping[str, Any]) -> Attribution:
    return Attribution(
        agent_id=text_of(row.get("agent_id")),
        request_type=text_of(row.get("request_type")),
        workflow_id=text_of(row.get("workflow_id")) or None,
        content_id=text_of(row.get("content_id")) or None,
        platform=text_of(row.get("platform")),
        content_type=text_of(row.get("content_type")),
        task_type=text_of(row.get("task_type")),
        tags={name: text_of(value) for name, value in object_of(row.get("tags")).items()},
        metadata=object_of(row.get("request_metadata")),
    )
