"""The recorded calls of a participant's analyses. The ledger is the only log of them."""

from __future__ import annotations

from ai_clients.assistants.models import Participant
from ai_clients.assistants.participants.content_ids import content_id_of
from ai_clients.assistants.participants.profiles import REQUEST_TYPE
from usage_billing import reports
from usage_billing.models import UsageRecord
from usage_billing.tenancy.scope import Scope

MOST_ANALYSES = 20


def analyses(scope: Scope, participant: Participant) -> list[UsageRecord]:
    """The newest calls that analysed the participant, newest first, failed ones too. One query, by an index."""
    filters = {
        "org_id": participant.org_id,
        "content_id": content_id_of(participant),
        "request_type": REQUEST_TYPE,
    }
    return list(reports.calls(scope, filters=filters)[:MOST_ANALYSES])
