"""The job that sends all digests. It may run often; each digest goes out once."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ai_clients.assistants.digest.delivery import send_digest
from ai_clients.assistants.digest.week import last_full_week
from ai_clients.assistants.models import DigestDelivery
from usage_billing.models import Organization
from usage_billing.tenancy.scope import EVERYTHING, within

logger = logging.getLogger(__name__)


@dataclass
class Summary:
    """The number of organisations by the outcome of their digest, and the reasons of failures."""

    sent: int = 0
    already: int = 0
    quiet: int = 0
    nobody: int = 0
    failed: int = 0
    failures: dict[int, str] = field(default_factory=dict)


def due_organizations(now: datetime) -> list[int]:
    """The open organisations whose last full week's digest has not gone out."""
    with within(EVERYTHING):
        recent = DigestDelivery.objects.filter(sent_at__isnull=False, week__gte=now.date() - timedelta(days=15))
        sent = set(recent.values_list("org_id", "week"))
        orgs = Organization.objects.filter(closed_at=None).order_by("pk")
        return [org.pk for org in orgs if (org.pk, last_full_week(org, now).monday) not in sent]


def send_digests(org_ids: Iterable[int], now: datetime) -> Summary:
    """Send the digests one by one; a failure is noted and does not stop the others."""
    summary = Summary()
    for org_id in org_ids:
        try:
            outcome = send_digest(org_id, now)
        except Exception as error:
            logger.exception("The digest of organisation %s was not sent.", org_id)
            summary.failed += 1
            summary.failures[org_id] = f"{type(error).__name__}: {error}"[:300]
        else:
            name = outcome.name.lower()
            setattr(summary, name, getattr(summary, name) + 1)
    return summary
