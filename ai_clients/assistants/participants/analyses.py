"""The recorded calls of a participant's analyses. The ledger is the only log of them."""

from __future__ import annotations

from datetime import datetime, timedelta

from ai_clients.assistants.models import Participant
from ai_clients.assistants.participants.profiles import REQUEST_TYPE
from usage_billing import reports
from usage_billing.models import UsageRecord
from usage_billing.reports import Period
from usage_billing.tenancy.scope import Scope

DAYS = 180
"""How far back they are searched: no index knows participants, so this reads the organisation's calls."""
MOST_ANALYSES = 20


def analyses(scope: Scope, participant: Participant, now: datetime) -> list[UsageRecord]:
    """The newest calls that analysed the participant, newest first, failed ones too. One query."""
    since = max(participant.created_at - timedelta(days=1), now - timedelta(days=DAYS)).date()
    filters = {
        "org_id": participant.org_id,
        "request_type": REQUEST_TYPE,
        "request_metadata__participant_id": participant.pk,
    }
    return list(reports.calls(scope, filters=filters, period=Period(since=since))[:MOST_ANALYSES])
