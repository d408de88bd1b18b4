"""The first calls of a list, told in short: what a page shows of the newest, the dearest, the troubled ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from usage_billing.reports.most_expensive import by_cost
from usage_billing.reports.parameters import ALL_TIME, Period
from usage_billing.reports.sql.conditions import Sql
from usage_billing.reports.sql.first_calls import NEWEST_FIRST, first_calls
from usage_billing.reports.sql.pipelining import Later, Report, send_for
from usage_billing.tenancy.scope import Scope


class ListedCall(NamedTuple):
    """What a list shows of a call."""

    id: int
    created_at: datetime
    org_id: int
    user_id: int | None
    agent_id: str
    request_type: str
    ai_provider: str
    ai_model: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal | None
    cost_rub: Decimal | None
    status: str
    error_code: str
    content_id: str | None


@Report
def newest(
    scope: Scope,
    limit: int,
    *,
    filters: Mapping[str, Any] | None = None,
    period: Period = ALL_TIME,
    recent: Period | None = None,
) -> Later[list[ListedCall]]:
    """The first of `calls`. One query.

    `recent`: the part of the period that they are known to lie in (`newest_days`).
    """
    return _sent(first_calls(ListedCall._fields, scope, filters or {}, period, [], NEWEST_FIRST, limit, recent))


@Report
def most_expensive(
    scope: Scope, limit: int, *, filters: Mapping[str, Any] | None = None, period: Period = ALL_TIME
) -> Later[list[ListedCall]]:
    """Those that cost most; none that cost nothing, or nobody knows what. One query."""
    return _sent(by_cost(ListedCall._fields, scope, filters or {}, period, limit, free=False))


def _sent(statement: Sql) -> Later[list[ListedCall]]:
    found = send_for(ListedCall._fields, statement.text, statement.values)
    return lambda: [ListedCall(**row) for row in found()]
