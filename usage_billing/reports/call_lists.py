"""A page of calls together with the totals of all calls that match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from usage_billing.models import UsageRecord
from usage_billing.reports.call_pages import ALL_FIELDS, Page, Within, page
from usage_billing.reports.calls import LISTED, NEWEST_FIRST, archived_before
from usage_billing.reports.parameters import ALL_TIME, LARGEST_ZONE, Filters, Period
from usage_billing.reports.totals import COST_MEASURES, NO_CALLS, Totals, add, completed, totals
from usage_billing.tenancy.scope import Scope

LIST_MEASURES = (*COST_MEASURES, "failed_count", "refused_count", "prompt_tokens", "completion_tokens", "total_tokens")


@dataclass(frozen=True)
class CallList:
    """`totals`: the `LIST_MEASURES` of all calls that match, archived ones included; `page`: some of them.

    `archived_before`: calls before that day are archived and not listed; None if none are.
    """

    totals: Totals
    page: Page
    archived_before: date | None


def calls_with_totals(
    scope: Scope,
    *,
    filters: Filters | None = None,
    period: Period = ALL_TIME,
    ordering: str = NEWEST_FIRST,
    limit: int,
    offset: int = 0,
    after: tuple[Any, int] | None = None,
    fields: Sequence[str] = ALL_FIELDS,
) -> CallList:
    """A page of the calls that match, and their totals. Three queries; with a tag, four.

    The totals by day tell how far back a page must look: a search for a rare value reads no more days than it needs,
    and none if nothing matches.
    """
    days = totals(scope, by=["usage_date"], filters=filters, period=period, measures=LIST_MEASURES)
    total = {name: NO_CALLS[name] for name in LIST_MEASURES}
    for day in days:
        add(total, day)
    archived = archived_before(period)
    counts = [(row["usage_date"], row["requests_count"]) for row in days]
    found = Page([], None)
    if total["requests_count"]:
        found = page(
            scope,
            filters=filters,
            period=period,
            ordering=ordering,
            limit=limit,
            offset=offset,
            after=after,
            within=_within(counts, ordering, offset + limit + 1, after, archived),
            fields=fields,
        )
    return CallList(completed(total), found, archived)


def newest(
    scope: Scope,
    limit: int,
    *,
    filters: Filters,
    period: Period,
    days: Iterable[Totals],
    archived: date | None,
) -> Sequence[UsageRecord]:
    """The newest calls that match, with the fields `LISTED`. One query.

    `days`: the totals of the same filters by `usage_date`; `archived`: the `archived_before` of the period.
    """
    listed = [(row["usage_date"], row["requests_count"]) for row in days]
    within = _within(listed, NEWEST_FIRST, limit + 1, None, archived)
    return page(scope, filters=filters, period=period, limit=limit, within=within, fields=LISTED).calls


def _within(
    days: Sequence[tuple[date, int]], ordering: str, wanted: int, after: tuple[Any, int] | None, archived: date | None
) -> Within | None:
    """Where the next `wanted` calls in the order of time are; None if the days do not tell.

    Rollups count archived calls too, so that days before `archived` tell nothing.
    """
    if ordering.removeprefix("-") != "created_at":
        return None
    newest_first = ordering.startswith("-")
    start = after[0] if after is not None else None
    left: list[date] = []
    possible, certain = 0, 0
    for day, count in sorted(days, reverse=newest_first):
        if archived is not None and day < archived:
            continue
        earliest, latest = _bounds(day)
        if start is not None and (earliest > start if newest_first else latest < start):
            continue  # all of this day's calls are on earlier pages
        left.append(day)
        possible += count
        if start is None or (latest <= start if newest_first else earliest >= start):
            certain += count
        if certain >= wanted:
            return Within(since=earliest) if newest_first else Within(until=latest)
    return Within(days=left) if archived is None and possible < wanted else None


def _bounds(day: date) -> Sequence[datetime]:
    """Moments that enclose the day in every time zone."""
    midnight = datetime.combine(day, time(), UTC)
    return midnight - LARGEST_ZONE, midnight + timedelta(days=1) + LARGEST_ZONE
