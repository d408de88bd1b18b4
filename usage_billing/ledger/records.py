"""Reads usage records as rows (column → value), as the ledger's writers need them."""

from __future__ import annotations

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


def locked(**lookup: Any) -> QuerySet[UsageRecord, Row]:
    """Return records as rows, locked until the transaction ends, in the order of their ids to avoid deadlocks."""
    rows = found(**lookup)
    return rows.select_for_update() if connection.features.has_select_for_update else rows
