"""Makes rows of the pieces of content that the demo's calls worked on, under the ids that those calls have."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from ai_clients.assistants.models import ContentPiece
from usage_billing.management.demo_data_content import WRITTEN, DemoPiece, pieces
from usage_billing.models import Organization

ARCHIVED_AFTER_DAYS = 150


def create(now: datetime) -> str:
    """The missing pieces of the demo organisations; what was made, in a sentence."""
    made = 0
    for org in Organization.objects.filter(slug__in=WRITTEN):
        made += sum(_create(org, piece, now, is_newest=not place) for place, piece in enumerate(pieces(org.slug)))
    return f"Added {made} pieces of content." if made else ""


def _create(org: Organization, piece: DemoPiece, now: datetime, *, is_newest: bool) -> bool:
    began_at = now - timedelta(days=piece.days_ago)
    status = ContentPiece.Status.PUBLISHED
    if piece.days_ago > ARCHIVED_AFTER_DAYS:
        status = ContentPiece.Status.ARCHIVED
    elif is_newest:
        status = ContentPiece.Status.READY
    defaults = {
        "org": org, "title": piece.title, "text": piece.text, "platform": piece.platform,
        "content_type": piece.content_type, "status": status,
    }  # fmt: skip
    _, is_new = ContentPiece.objects.get_or_create(pk=uuid.UUID(piece.id), defaults=defaults)
    if is_new:
        # Not by `save`, which sets both to the present.
        changed_at = min(now, began_at + timedelta(days=5))
        ContentPiece.objects.filter(pk=piece.id, org=org).update(created_at=began_at, updated_at=changed_at)
    return is_new
