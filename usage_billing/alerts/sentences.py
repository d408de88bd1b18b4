"""A title and a sentence for each kind of alert."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import get_language, gettext

from usage_billing.alerts import amounts
from usage_billing.alerts.budget_readings import FORECAST
from usage_billing.models import AlertDelivery, AlertFiring, AlertRule, Budget, Organization

Kind = AlertRule.Kind
UNITS: Mapping[str, str] = {
    Kind.SPEND: Budget.Unit.USD.value,
    Kind.UNPRICED: amounts.PERCENT,
    Kind.ERRORS: amounts.PERCENT,
    Kind.P95_TIME: amounts.MILLISECONDS,
    Kind.BACKLOG: amounts.EVENTS,
    Kind.SILENCE: amounts.HOURS,
}
"""Kind → the unit of its value and bound; those of budgets have the budget's."""


@dataclass(frozen=True)
class Facts:
    """What a sentence says. value: when it began; while it lasts, and when its window has ended, as it is now. now:
    None if it is unknown."""

    kind: str
    name: str
    what: str
    unit: str
    value: Decimal
    bound: Decimal
    now: Decimal | None
    share: Decimal | None
    window: str
    step: str

    @classmethod
    def of(cls, firing: AlertFiring, delivery: AlertDelivery) -> Facts:
        rule, budget, now = firing.rule, firing.budget, delivery.value
        kind = rule.kind if rule else kind_of_key(firing.key)
        began = firing.value if firing.value is not None else Decimal(0)
        is_over = delivery.event == AlertDelivery.Event.RESOLVED and firing.ended != AlertFiring.Ended.WINDOW
        return cls(
            kind=kind,
            name=rule.name if rule else budget.name if budget else "",
            what=_what(firing),
            unit=budget.unit if budget else UNITS[kind],
            value=began if is_over or now is None else now,
            bound=firing.bound,
            now=now,
            share=_share(firing.key) if kind == Kind.BUDGET_SHARE else None,
            window=_window(budget, firing.key) if budget else "",
            step=rule.step if rule else "",
        )

    def amount(self, value: Decimal) -> str:
        return amounts.written(value, self.unit)


def kind_of_key(key: str) -> str:
    """The kind of a budget's own alert."""
    return Kind.FORECAST if key.endswith(f"/{FORECAST}") else Kind.BUDGET_SHARE


def written(facts: Facts) -> tuple[str, str]:
    """Title and sentence, in the current language."""
    values: dict[str, Any] = {
        "name": facts.name,
        "what": facts.what,
        "value": facts.amount(facts.value),
        "bound": facts.amount(facts.bound),
        "window": facts.window,
        "time": gettext("within an hour") if facts.step == AlertRule.Step.HOUR else gettext("within a day"),
    }
    if facts.share is not None:
        limit = facts.bound * 100 / facts.share if facts.share else facts.bound
        values |= {
            "limit": facts.amount(limit),
            "share": amounts.written(100 * facts.value / limit if limit else Decimal(0), amounts.PERCENT),
            "mark": amounts.written(facts.share, amounts.PERCENT),
        }
    title, sentence = _TEXTS[facts.kind]()
    return title % values, sentence % values


def _budget_share() -> tuple[str, str]:
    return (
        gettext("“%(name)s” has reached %(mark)s"),
        gettext("Spent %(value)s of %(limit)s (%(share)s), %(window)s."),
    )


def _forecast() -> tuple[str, str]:
    return (
        gettext("“%(name)s” will probably be exceeded"),
        gettext("The forecast for the end of the period is %(value)s, the limit is %(bound)s, %(window)s."),
    )


def _spend() -> tuple[str, str]:
    return (
        gettext("“%(name)s”: spend far above the usual"),
        gettext("%(what)s: %(value)s spent %(time)s; up to %(bound)s is usual."),
    )


def _unpriced() -> tuple[str, str]:
    return (
        gettext("“%(name)s”: calls without a price"),
        gettext("%(what)s: %(value)s of the calls %(time)s have no price. The threshold is %(bound)s."),
    )


def _errors() -> tuple[str, str]:
    return (
        gettext("“%(name)s”: calls fail"),
        gettext("%(what)s: %(value)s of the calls %(time)s have failed. The threshold is %(bound)s."),
    )


def _p95_time() -> tuple[str, str]:
    return (
        gettext("“%(name)s”: calls are slow"),
        gettext("%(what)s: 95%% of the calls %(time)s took up to %(value)s. The threshold is %(bound)s."),
    )


def _backlog() -> tuple[str, str]:
    return (
        gettext("“%(name)s”: events wait in the outbox"),
        gettext("%(what)s: %(value)s in the outbox. The threshold is %(bound)s. Check that drain_usage runs."),
    )


def _silence() -> tuple[str, str]:
    return (
        gettext("“%(name)s”: no calls"),
        gettext("%(what)s: no call for %(value)s. The threshold is %(bound)s."),
    )


_TEXTS: Mapping[str, Callable[[], tuple[str, str]]] = {
    Kind.BUDGET_SHARE: _budget_share,
    Kind.FORECAST: _forecast,
    Kind.SPEND: _spend,
    Kind.UNPRICED: _unpriced,
    Kind.ERRORS: _errors,
    Kind.P95_TIME: _p95_time,
    Kind.BACKLOG: _backlog,
    Kind.SILENCE: _silence,
}


def _what(firing: AlertFiring) -> str:
    """The organisation, model or machine that crossed; else everything that the rule watches."""
    rule = firing.rule
    if rule is not None and rule.kind == Kind.BACKLOG:
        return firing.key
    if rule is not None and rule.by == "org_id" and firing.key.isdecimal():
        org = Organization.objects.filter(pk=int(firing.key)).first()
        return org.name if org else firing.key
    if rule is not None and rule.by and firing.key:
        return firing.key
    return firing.org.name if firing.org else gettext("All organisations")


def _share(key: str) -> Decimal:
    return Decimal(key.rpartition("/")[2])


def _window(budget: Budget, key: str) -> str:
    """The days that the key's window has."""
    first = date.fromisoformat(key.partition("/")[0])
    match budget.window:
        case Budget.Window.DAY:
            return _day(first)
        case Budget.Window.WEEK:
            return f"{_day(first)} – {_day(first + timedelta(days=6))}"
        case Budget.Window.MONTH:
            month = date_format(first, "F Y")
            return month.lower() if (get_language() or "").startswith("ru") else month
        case _:
            return gettext("since %(day)s") % {"day": _day(first)}


def _day(day: date) -> str:
    # `E` is the name of the month as it stands after a day.
    return date_format(day, "j E Y")
