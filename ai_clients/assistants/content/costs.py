"""The cost of the work on a content piece."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from ai_clients.assistants.models import ContentPiece
from usage_billing import reports
from usage_billing.reports.totals import Totals
from usage_billing.tenancy.scope import Scope


@dataclass(frozen=True)
class ContentCosts:
    """total, and by_agent with the most expensive first (`agent_id` is empty for calls without one).

    since: the billing day of the first call; None if no call is listed any more.
    """

    total: Totals
    by_agent: list[Totals]
    since: date | None


def costs_of(scope: Scope, piece: ContentPiece) -> ContentCosts:
    """The costs of the piece's calls that this scope sees, of all time. Three queries by an index."""
    filters = {"content_id": str(piece.pk)}
    (total,) = reports.totals(scope, filters=filters)
    first = reports.calls(scope, filters=filters, ordering="created_at").values_list("usage_date", flat=True).first()
    return ContentCosts(total, reports.totals(scope, by=["agent_id"], filters=filters), first)
