"""Gives the titles of content pieces to the pages of costs."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from ai_clients.assistants.models import ContentPiece
from usage_billing.tenancy.scope import Scope


def titles(scope: Scope, ids: Collection[str]) -> dict[str, str]:
    """Content id → title of the pieces that the person may see."""
    pieces = ContentPiece.objects.filter(pk__in=[id_ for id_ in map(_uuid, ids) if id_ is not None])
    if not scope.everything:
        pieces = pieces.filter(org_id__in=scope.org_ids)
    return {str(id_): title for id_, title in pieces.values_list("pk", "title")}


def _uuid(text: str) -> uuid.UUID | None:
    """A caller may give any content id; those of content pieces are UUIDs."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
