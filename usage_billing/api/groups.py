"""The dimensions that breakdowns group by: their columns, and how items name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from usage_billing import reports
from usage_billing.models import Organization
from usage_billing.models.daily_tag_usage import OTHER_VALUE
from usage_billing.models.user_keys import is_user
from usage_billing.reports import TAG
from usage_billing.reports.totals import Totals

GROUPS: dict[str, tuple[str, ...]] = {
    "org": ("org_id",),
    "user": ("user_id",),
    "agent_id": ("agent_id",),
    "ai_provider": ("ai_provider",),
    "ai_model": ("ai_provider", "ai_model"),
    "request_type": ("request_type",),
    "workflow_id": ("workflow_id",),
    "content_id": ("content_id",),
    "status": ("status",),
}
"""Name of a dimension, besides `tag.<key>` → its columns."""


def columns_of(name: str) -> tuple[str, ...]:
    return GROUPS.get(name, (name,))


def named(rows: Sequence[Totals], name: str) -> list[dict[str, Any]]:
    """Return for each row how an item names its value of the dimension. One query for organisations; one or two for
    users."""
    if name == "user":
        names = reports.user_names(row["user_id"] for row in rows)
        return [{"user": key if is_user(key := row["user_id"]) else None, "username": names.get(key)} for row in rows]
    if name == "org":
        orgs = dict(Organization.objects.filter(pk__in={row["org_id"] for row in rows}).values_list("pk", "name"))
        return [{"org": row["org_id"], "name": orgs[row["org_id"]]} for row in rows]
    if name.startswith(TAG):
        return [{name: row[name], "is_other": row[name] == OTHER_VALUE} for row in rows]
    return [{column: row[column] for column in columns_of(name)} for row in rows]
