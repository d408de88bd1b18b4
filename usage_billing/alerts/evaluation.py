"""The readings of budgets and rules: pure reads, which change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from usage_billing.alerts import budget_readings, call_readings, standstill_readings
from usage_billing.alerts.readings import Readings
from usage_billing.models import AlertRule, Budget

Subject: TypeAlias = Budget | AlertRule
"""What raises alerts: a budget by its own shares and forecast, or a rule."""

OF_BUDGETS = (AlertRule.Kind.BUDGET_SHARE, AlertRule.Kind.FORECAST)


def readings_of(subject: Subject, now: datetime) -> Readings:
    """What the budget or the rule says at that moment, by what is watched. The scope must be entered."""
    if isinstance(subject, Budget) or subject.kind in OF_BUDGETS:
        return readings_of_budgets([subject], now)[subject]
    match subject.kind:
        case AlertRule.Kind.BACKLOG:
            return standstill_readings.backlog(subject)
        case AlertRule.Kind.SILENCE:
            return standstill_readings.silence(subject, now)
        case _:
            return call_readings.of_rule(subject, now)


def readings_of_budgets(subjects: Sequence[Subject], now: datetime) -> Mapping[Subject, Readings]:
    """The readings of budgets, and of rules that watch budgets: a few queries for all of them."""
    watches = [
        budget_readings.of_itself(each) if isinstance(each, Budget) else budget_readings.of_rule(each)
        for each in subjects
    ]
    return dict(zip(subjects, budget_readings.read(watches, now), strict=True))
