"""The keys of tags that pages offer; any other key can be typed or stand in the address."""

from __future__ import annotations

from usage_billing.models import TagValue
from usage_billing.tenancy.scope import Scope

KEYS_READ = 2_000
"""Rows of the registry of tags that the keys are looked for in."""
MOST_KEYS = 20


def tag_keys(scope: Scope, most: int = MOST_KEYS) -> list[str]:
    """Some keys of the scope's tags, in the order of the alphabet. Members do not see the registry. One query."""
    rows = TagValue.objects.all()
    if not scope.everything:
        rows = rows.filter(org_id__in=scope.owned_org_ids)
    # The database counts distinct keys of the first rows alone: reading all rows of all organisations takes long.
    first = rows.order_by().values("tag_key")[:KEYS_READ]
    return sorted(set(first.values_list("tag_key", flat=True)))[:most]
