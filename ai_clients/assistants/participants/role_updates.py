"""The job that keeps all participants' profiles up to date.

The participants' rows keep its place: the next run skips those whom an interrupted one has analysed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.db.models import F

from ai_clients.assistants.models import Participant
from ai_clients.assistants.participants.enrichment import (
    EnrichmentError,
    EnrichmentOptions,
    due,
    enrich_participant,
)
from usage_billing.tenancy.scope import EVERYTHING, within

logger = logging.getLogger(__name__)


class Key(NamedTuple):
    org_id: int
    participant_id: int


@dataclass
class Summary:
    """The number of participants analysed, skipped (another run was quicker, or they are gone) and failed."""

    organizations: int = 0
    analysed: int = 0
    skipped: int = 0
    failed: int = 0
    failures: dict[Key, str] = field(default_factory=dict)


def due_participants(now: datetime) -> list[Key]:
    """The participants to analyse, by organisation, the longest waiting first; none of closed organisations."""
    with within(EVERYTHING):
        participants = due(Participant.objects.filter(org__closed_at=None), now)
        rows = participants.order_by("org_id", F("analysed_at").asc(nulls_first=True), "pk").values_list("org_id", "pk")
        return [Key(*row) for row in rows]


def update_roles(keys: Iterable[Key], options: EnrichmentOptions | None = None) -> Summary:
    """Analyse the participants one by one, without a user; a failure is noted and does not stop the others."""
    options = options or EnrichmentOptions(only_if_due=True)
    summary = Summary()
    org_ids = set()
    for key in keys:
        org_ids.add(key.org_id)
        try:
            enrich_participant(key.participant_id, key.org_id, options)
        except (EnrichmentError, Participant.DoesNotExist):
            summary.skipped += 1
        except Exception as error:
            logger.exception("Participant %s of organisation %s could not be analysed.", key.participant_id, key.org_id)
            summary.failed += 1
            summary.failures[key] = f"{type(error).__name__}: {error}"[:300]
        else:
            summary.analysed += 1
    summary.organizations = len(org_ids)
    return summary
