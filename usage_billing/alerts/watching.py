"""Who watches, and what is to be done about it: the active budgets and rules, their readings and their alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from usage_billing.alerts import standstill_readings
from usage_billing.alerts.decisions import Decision, decide
from usage_billing.alerts.evaluation import Subject
from usage_billing.alerts.readings import Readings
from usage_billing.models import AlertFiring, AlertRule, Budget

FORGOTTEN_AFTER = timedelta(days=1)
"""An alert of a machine's outbox ends after this time: the machine may be gone. If it is not, it raises it again."""


def active_budgets() -> QuerySet[Budget]:
    return Budget.objects.filter(is_active=True, org__closed_at__isnull=True).select_related("org")


def active_rules() -> QuerySet[AlertRule]:
    """Rules whose organisation is open, and whose budget is active."""
    is_open = Q(org__isnull=True) | Q(org__closed_at__isnull=True)
    has_budget = Q(budget__isnull=True) | Q(budget__is_active=True, budget__org__closed_at__isnull=True)
    return AlertRule.objects.filter(is_open, has_budget, is_active=True).select_related("org", "budget__org")


def decisions(readings: Mapping[Subject, Readings], now: datetime) -> dict[Subject, list[Decision]]:
    """What is to be done about each budget and rule. One query for all of them."""
    known = _known(readings)
    found = {}
    for subject, each in readings.items():
        rule = subject if isinstance(subject, AlertRule) else None
        of_subject = known.get(_key(subject), _Known())
        if rule is not None and rule.kind == AlertRule.Kind.BACKLOG:
            of_subject.firing = {key: one for key, one in of_subject.firing.items() if _is_of_this_machine(one, now)}
        after = timedelta(hours=rule.renotify_hours) if rule is not None and rule.renotify_hours else None
        found[subject] = decide(each, of_subject.firing, of_subject.earlier, renotify_after=after, now=now)
    return found


@dataclass
class _Known:
    """By key: the alerts that fire, and the latest one of each window that is over."""

    firing: dict[str, AlertFiring] = field(default_factory=dict)
    earlier: dict[str, AlertFiring] = field(default_factory=dict)


def _known(readings: Mapping[Subject, Readings]) -> dict[tuple[bool, int], _Known]:
    rules = [each.pk for each in readings if isinstance(each, AlertRule)]
    budgets = [each.pk for each in readings if isinstance(each, Budget)]
    over = {key for each in readings.values() for key, reading in each.by_key.items() if not reading.is_open}
    ours = Q(rule__in=rules) | Q(rule__isnull=True, budget__in=budgets)
    wanted = Q(state=AlertFiring.State.FIRING) | Q(state=AlertFiring.State.RESOLVED, key__in=over)
    found: dict[tuple[bool, int], _Known] = {}
    for firing in AlertFiring.objects.filter(ours, wanted).order_by("pk"):
        key = (True, firing.rule_id) if firing.rule_id is not None else (False, firing.budget_id or 0)
        known = found.setdefault(key, _Known())
        kept = known.firing if firing.state == AlertFiring.State.FIRING else known.earlier
        kept[firing.key] = firing
    return found


def _key(subject: Subject) -> tuple[bool, int]:
    return isinstance(subject, AlertRule), subject.pk


def _is_of_this_machine(firing: AlertFiring, now: datetime) -> bool:
    """Whether this machine may end the alert: its own, or one so old that its machine may be gone."""
    return firing.key == standstill_readings.outbox_name() or firing.began_at < now - FORGOTTEN_AFTER
