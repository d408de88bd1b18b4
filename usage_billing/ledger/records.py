"""Reads usage records as rows (column → value), as the ledger's writers need them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from usage_billing.costing.costs import Row
from usage_billing.models import UsageRecord
from usage_billing.models.database import connection

COLUMNS = tuple(field.attname for field in UsageRecord._meta.concrete_fields if not field.primary_key)


@dataclass(frozen=True)
class RecordChange:
    """A record's row before and after, each column → value with the `id`."""

    before: Row
    after: Row


def found(**lookup: Any) -> QuerySet[UsageRecord, Row]:
    """Return records as rows, in the order of their ids."""
    rows: QuerySet[UsageRecord, Row] = UsageRecord.objects.filter(**lookup).order_by("pk").values("id", *COLUMNS)
    return rows


def locked(**lookup: Any) -> Iterable[Row]:
    """Return records as rows, locked until the transaction ends, in the order of their ids to avoid deadlocks.

    Their organisations are looked up first, because Citus locks no rows without them. Nothing is locked if there are
    none, as for most new calls.
    """
    rows = found(**lookup)
    if not connection.features.has_select_for_update:
        return rows
    org_ids = set(rows.order_by().values_list("org_id", flat=True).distinct())
    return rows.filter(org_id__in=org_ids).select_for_update()
