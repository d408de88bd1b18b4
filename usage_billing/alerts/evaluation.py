"""The readings of a budget or a rule: pure reads, which change nothing."""

from __future__ import annotations

from datetime import datetime

from usage_billing.alerts import budget_readings, call_readings, standstill_readings
from usage_billing.alerts.readings import Readings
from usage_billing.models import AlertRule, Budget


def readings_of(subject: Budget | AlertRule, now: datetime) -> Readings:
    """What the budget or the rule says at that moment, by what is watched. The scope must be entered."""
    if isinstance(subject, Budget):
        return budget_readings.of_budget(subject, now)
    match subject.kind:
        case AlertRule.Kind.BUDGET_SHARE | AlertRule.Kind.FORECAST:
            return budget_readings.of_rule(subject, now)
        case AlertRule.Kind.BACKLOG:
            return standstill_readings.backlog(subject)
        case AlertRule.Kind.SILENCE:
            return standstill_readings.silence(subject, now)
        case _:
            return call_readings.of_rule(subject, now)
