"""Raises and ends alerts. Several processes may do it at once: each alert is told once.

Whoever finds something to do locks the budget or the rule, reads everything again, and writes the alert together with
its deliveries in one transaction. The messages are sent afterwards, from the table of deliveries (`delivering`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.core.exceptions import FieldError, ValidationError
from django.db import DataError, ProgrammingError
from django.db.models import F, Q

from usage_billing.alerts.decisions import Decision, Step
from usage_billing.alerts.evaluation import OF_BUDGETS, Subject, readings_of, readings_of_budgets
from usage_billing.alerts.messages import one_line
from usage_billing.alerts.recipients import recipients
from usage_billing.alerts.watching import active_budgets, active_rules, decisions
from usage_billing.models import AlertChannel, AlertDelivery, AlertFiring, AlertRule, Budget
from usage_billing.models.database import atomic
from usage_billing.tenancy.scope import EVERYTHING, within

logger = logging.getLogger(__name__)

WRONG_RULE = (ValidationError, FieldError, ValueError, TypeError, KeyError, AttributeError, DataError, ProgrammingError)
"""Raised where a rule's filters cannot be understood, here or by the database."""
FIRING, RESOLVED = AlertFiring.State.FIRING, AlertFiring.State.RESOLVED
EVENTS = {
    Step.BEGIN: AlertDelivery.Event.FIRING,
    Step.REMIND: AlertDelivery.Event.STILL_FIRING,
    Step.END: AlertDelivery.Event.RESOLVED,
}


@dataclass(frozen=True)
class Told:
    """What was decided about one alert. name: of the budget or rule. deliveries: messages that wait to be sent."""

    event: AlertDelivery.Event
    name: str
    key: str
    value: Decimal | None
    bound: Decimal | None
    deliveries: int


def check_all(now: datetime, *, dry_run: bool = False) -> list[Told]:
    """Look at all active budgets and rules; raise, repeat and end their alerts. dry_run: only say what would be done.

    One that cannot be evaluated is logged, and does not hold up the others. `DatabaseError` is raised.
    """
    told: list[Told] = []
    for subject in _with_changes(now):
        try:
            told += _would_be_told(subject, now) if dry_run else check(subject, now)
        except WRONG_RULE:
            logger.exception("%s cannot be evaluated. Correct or delete it.", _named(subject))
    if not dry_run:
        _end_unwatched(now)
    return told


def check(subject: Subject, now: datetime) -> list[Told]:
    """Do what is to be done about one budget or rule, under a lock, by what is true then."""
    with within(EVERYTHING), atomic():
        locked = _locked(subject)
        if locked is None:
            return []
        return [told for each in _decisions(locked, now) for told in _apply(locked, each, now)]


# ── What is to be done ───────────────────────────────────────────────────────────────────────────────────────────


def _with_changes(now: datetime) -> Iterator[Subject]:
    """The budgets and rules about which something is to be done. No lock, and no transaction that lasts."""
    with within(EVERYTHING):
        rules = list(active_rules())
        by_budgets: list[Subject] = [*active_budgets(), *(rule for rule in rules if rule.kind in OF_BUDGETS)]
        to_do = decisions(readings_of_budgets(by_budgets, now), now)
    yield from (subject for subject, found in to_do.items() if found)
    for rule in rules:
        if rule.kind not in OF_BUDGETS and _has_changes(rule, now):
            yield rule


def _has_changes(rule: AlertRule, now: datetime) -> bool:
    try:
        with within(EVERYTHING):
            return bool(_decisions(rule, now))
    except WRONG_RULE:
        logger.exception("%s cannot be evaluated. Correct or delete it.", _named(rule))
        return False


def _decisions(subject: Subject, now: datetime) -> list[Decision]:
    return decisions({subject: readings_of(subject, now)}, now)[subject]


# ── Doing it ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _locked(subject: Subject) -> Subject | None:
    """The budget or rule as it is now, locked until the transaction ends; None if it watches nothing any more.

    A write locks on every database; SQLite knows no SELECT … FOR UPDATE.
    """
    if isinstance(subject, Budget):
        if not Budget.objects.filter(pk=subject.pk).update(is_active=F("is_active")):
            return None
        return active_budgets().filter(pk=subject.pk).first()
    if not AlertRule.objects.filter(pk=subject.pk).update(is_active=F("is_active")):
        return None
    return active_rules().filter(pk=subject.pk).first()


def _apply(subject: Subject, decision: Decision, now: datetime) -> Iterator[Told]:
    firing, value = decision.firing, decision.reading.value if decision.reading else None
    if decision.step is Step.MARK and firing is not None and decision.ended is not None:
        firing.ended = decision.ended
        firing.save(update_fields=["ended"])
        return
    if firing is None:
        firing = _begin(subject, decision, now)
    else:
        firing.told_at = now
        if decision.step is Step.END and decision.ended is not None:
            firing.state, firing.resolved_at, firing.ended = RESOLVED, now, decision.ended
        firing.save(update_fields=["state", "told_at", "resolved_at", "ended"])
    count = _tell(subject, firing, decision, value)
    yield Told(EVENTS[decision.step], subject.name, firing.key, value, firing.bound, count)


def _begin(subject: Subject, decision: Decision, now: datetime) -> AlertFiring:
    reading = decision.reading
    assert reading is not None  # noqa: S101 - only what crosses begins
    over = decision.ended
    return AlertFiring.objects.create(
        org_id=subject.org_id,
        rule=subject if isinstance(subject, AlertRule) else None,
        budget=subject if isinstance(subject, Budget) else subject.budget,
        key=decision.key,
        state=RESOLVED if over else FIRING,
        value=reading.value,
        bound=reading.bound,
        began_at=now,
        told_at=now,
        resolved_at=now if over else None,
        ended=over or "",
    )


def _tell(subject: Subject, firing: AlertFiring, decision: Decision, value: Decimal | None) -> int:
    """Write the deliveries. Returns how many: none about what nobody watches any more."""
    is_end = decision.step is Step.END
    if is_end and decision.ended == AlertFiring.Ended.UNWATCHED:
        return 0
    found = recipients(subject.org_id, subject if isinstance(subject, AlertRule) else None)
    if is_end and decision.ended == AlertFiring.Ended.WINDOW:
        # People know that a month ends; a program that has opened an incident has to close it.
        found = [each for each in found if each.channel and each.channel.kind == AlertChannel.Kind.WEBHOOK]
    if not found and not is_end:
        logger.warning("Nobody is told of an alert of %s: add a channel, or an owner's e-mail.", _named(subject))
    AlertDelivery.objects.bulk_create(
        AlertDelivery(
            org_id=subject.org_id,
            firing=firing,
            channel=each.channel,
            recipient=each.address,
            value=value,
            event=EVENTS[decision.step],
        )
        for each in found
    )
    return len(found)


def _end_unwatched(now: datetime) -> None:
    """End the alerts of budgets and rules that are inactive, and of closed organisations; nobody is told."""
    with within(EVERYTHING):
        inactive = Q(rule__is_active=False) | Q(budget__is_active=False)
        closed = Q(org__closed_at__isnull=False) | Q(budget__org__closed_at__isnull=False)
        found = list(AlertFiring.objects.filter(inactive | closed, state=FIRING).values_list("pk", flat=True))
        if found:
            AlertFiring.objects.filter(pk__in=found, state=FIRING).update(
                state=RESOLVED, resolved_at=now, ended=AlertFiring.Ended.UNWATCHED
            )


def _would_be_told(subject: Subject, now: datetime) -> Sequence[Told]:
    with within(EVERYTHING):
        return [
            Told(
                EVENTS[each.step],
                subject.name,
                each.key,
                each.reading.value if each.reading else None,
                each.reading.bound if each.reading else None,
                0,
            )
            for each in _decisions(subject, now)
            if each.step in EVENTS
        ]


def _named(subject: Subject) -> str:
    what = "Budget" if isinstance(subject, Budget) else "Alert rule"
    return f"{what} {subject.pk} ({one_line(subject.name)})"
