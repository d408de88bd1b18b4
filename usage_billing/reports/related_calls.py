"""The calls around a call, those of its workflow, and what is found by an id. Each reads a few entries of an index."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from django.db.models import Min, Q

from usage_billing.models import UsageRecord
from usage_billing.reports.call_lists import LIST_MEASURES
from usage_billing.reports.calls import calls
from usage_billing.reports.totals import Totals, totals
from usage_billing.tenancy.scope import Scope

GROUPED_BY = ("workflow_id", "content_id")
LARGEST_ID = 2**63 - 1
LONGEST_ID = 200
"""The characters of the longest id, a request id."""


@dataclass(frozen=True)
class Around:
    """The calls just before and just after a call, both oldest first."""

    earlier: list[UsageRecord]
    later: list[UsageRecord]


@dataclass(frozen=True)
class Workflow:
    """`calls`: the first calls of a workflow, oldest first; `totals`: the `LIST_MEASURES` of all of them."""

    calls: list[UsageRecord]
    totals: Totals


@dataclass(frozen=True)
class Found:
    """What a search has found.

    `calls`: first the one with this id, then those with this request id (each organisation may have one), newest first.
    `first_days`: `workflow_id` or `content_id` → the first billing day of the calls with this workflow or content.
    """

    calls: list[UsageRecord]
    first_days: dict[str, date]


def around(scope: Scope, call: UsageRecord, limit: int) -> Around:
    """The calls of the call's organisation around it, `limit` on each side; a member's own calls. Two queries."""
    in_organization = calls(_in_organization(scope, call.org_id), ordering="created_at")
    at, pk = call.created_at, call.pk
    later = in_organization.filter(Q(created_at__gte=at) & (Q(created_at__gt=at) | Q(pk__gt=pk)))
    earlier = in_organization.filter(Q(created_at__lte=at) & (Q(created_at__lt=at) | Q(pk__lt=pk)))
    return Around([*earlier.order_by("-created_at", "-id")[:limit]][::-1], [*later[:limit]])


def of_workflow(scope: Scope, workflow_id: str, org_id: int, limit: int) -> Workflow:
    """The calls of a workflow within one organisation: another one may use the same id. Two queries."""
    filters: dict[str, Any] = {"workflow_id": workflow_id, "org_id": org_id}
    (total,) = totals(scope, filters=filters, measures=LIST_MEASURES)
    return Workflow(list(calls(scope, filters=filters, ordering="created_at")[:limit]), total)


def find_calls(scope: Scope, text: str, limit: int) -> Found:
    """What has exactly this text as its id. At most four queries, each of one index. Archived calls are not found."""
    text = text.strip()
    if not text or len(text) > LONGEST_ID or "\x00" in text:
        return Found([], {})
    by_id = list(calls(scope, filters={"id": int(text)})) if _is_key(text) else []
    by_request = calls(scope, filters={"request_id": text}).exclude(pk__in=[call.pk for call in by_id])
    first_days = {name: _first_day(scope, name, text) for name in GROUPED_BY}
    return Found([*by_id, *by_request[:limit]], {name: day for name, day in first_days.items() if day is not None})


def _is_key(text: str) -> bool:
    """Whether this is how the key of a call is written: without zeros before it, as ids of content may have them."""
    return text.isascii() and text.isdecimal() and text == str(int(text)) and int(text) <= LARGEST_ID


def _first_day(scope: Scope, name: str, text: str) -> date | None:
    day: date | None = calls(scope, filters={name: text}).aggregate(first=Min("usage_date"))["first"]
    return day


def _in_organization(scope: Scope, org_id: int) -> Scope:
    """The part of the scope in one organisation: a superadmin's is that of its owner."""
    if scope.everything or org_id in scope.owned_org_ids:
        return Scope(owned_org_ids=frozenset({org_id}), zone=scope.zone)
    return replace(scope, owned_org_ids=frozenset(), member_org_ids=scope.member_org_ids & {org_id})
