"""What stands still: events that wait in the outbox of this machine, and scopes without calls."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta
from decimal import Decimal

from usage_billing import recording, reports
from usage_billing.alerts.call_readings import filters_of, scope_of
from usage_billing.alerts.readings import LARGEST, Reading, Readings, above
from usage_billing.conf import conf
from usage_billing.models import AlertRule, Organization
from usage_billing.reports import narrowed
from usage_billing.tenancy.scope import Scope

AN_HOUR = timedelta(hours=1)


def backlog(rule: AlertRule) -> Readings:
    """The events that wait on this machine. Each machine tells of its own outbox, and ends its own alert alone."""
    waiting = recording.health().backlog
    if waiting is None:  # the outbox cannot be read: nothing is known
        return Readings({outbox_name(): Reading(None, rule.bound, crosses=False)})
    return Readings({outbox_name(): above(Decimal(waiting.events), rule.bound)})


def outbox_name() -> str:
    """Name of this machine's outbox among those of others."""
    return f"{socket.gethostname()}:{conf.OUTBOX_PATH}"[:300]


def silence(rule: AlertRule, now: datetime) -> Readings:
    """Hours since the newest call. A scope that never had one is not silent."""
    if rule.by != "org_id":
        hours = _hours(rule, scope_of(rule), now)
        return Readings({} if hours is None else {"": _silent(rule, hours)})
    found = {}
    open_orgs = Organization.objects.filter(closed_at__isnull=True).values_list("pk", flat=True)
    for org_id in sorted(reports.orgs_with_calls(open_orgs)):
        if (hours := _hours(rule, scope_of(rule), now, org_id)) is not None:
            found[str(org_id)] = _silent(rule, hours)
    return Readings(found)


def _hours(rule: AlertRule, scope: Scope, now: datetime, org_id: int | None = None) -> Decimal | None:
    filters = filters_of(rule)
    if org_id is not None:
        filters = narrowed(filters, {"org_id": org_id})
    newest = reports.calls(scope, filters=filters).values_list("created_at", flat=True).first()
    return None if newest is None else Decimal((now - newest) / AN_HOUR).quantize(Decimal("0.01"))


def _silent(rule: AlertRule, hours: Decimal) -> Reading:
    return Reading(min(hours, LARGEST), rule.bound, crosses=hours > 0 and hours >= rule.bound)
