"""Alerts in words: what each rule watches, and what an alert says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from usage_billing.alerts import sentences
from usage_billing.alerts.sentences import Facts
from usage_billing.models import AlertDelivery, AlertFiring, AlertRule
from usage_billing.pages.dimensions import label
from usage_billing.reports import TAG
from usage_billing.templatetags.amounts import duration, plain_decimal, plain_money, style_of, write_percent

KINDS: dict[str, Any] = {
    AlertRule.Kind.BUDGET_SHARE: _("Tells when a share of a budget is spent, beside the budget's own thresholds."),
    AlertRule.Kind.FORECAST: _("Tells when a budget is expected to pass its limit before its window ends."),
    AlertRule.Kind.SPEND: _(
        "Tells when an hour or a day costs far more than the same hour or weekday of the weeks before."
    ),
    AlertRule.Kind.UNPRICED: _("Tells when too many calls have no price, so that totals leave them out."),
    AlertRule.Kind.ERRORS: _("Tells when too many calls fail."),
    AlertRule.Kind.P95_TIME: _("Tells when one call of twenty takes longer than this."),
    AlertRule.Kind.BACKLOG: _("Tells when events wait in the outbox of a machine and do not reach the ledger."),
    AlertRule.Kind.SILENCE: _("Tells when there has been no call for so many hours."),
}
"""What each kind of rule does, in one sentence."""
OF_BUDGET = (AlertRule.Kind.BUDGET_SHARE, AlertRule.Kind.FORECAST)
BOUNDS: dict[str, Any] = {
    AlertRule.Kind.BUDGET_SHARE: _("From so many per cent of the limit on"),
    AlertRule.Kind.FORECAST: _("Beyond so many per cent of the limit"),
    AlertRule.Kind.SPEND: _("Only from this amount on, USD"),
    AlertRule.Kind.UNPRICED: _("From so many per cent of the calls on"),
    AlertRule.Kind.ERRORS: _("From so many per cent of the calls on"),
    AlertRule.Kind.P95_TIME: _("Longer than, ms"),
    AlertRule.Kind.BACKLOG: _("More events than"),
    AlertRule.Kind.SILENCE: _("For so many hours"),
}
"""The label of a rule's bound."""
USUAL_BOUNDS: dict[str, Decimal] = {
    AlertRule.Kind.BUDGET_SHARE: Decimal(90),
    AlertRule.Kind.FORECAST: Decimal(100),
    AlertRule.Kind.SPEND: Decimal(1),
    AlertRule.Kind.UNPRICED: Decimal(5),
    AlertRule.Kind.ERRORS: Decimal(10),
    AlertRule.Kind.P95_TIME: Decimal(30_000),
    AlertRule.Kind.BACKLOG: Decimal(1_000),
    AlertRule.Kind.SILENCE: Decimal(24),
}


def in_unit_of_rule(kind: str, value: Decimal) -> str:
    """A value or bound of a rule with its unit. Those of budgets' alerts are in the budget's unit."""
    match kind:
        case AlertRule.Kind.SPEND:
            return plain_money(value, "usd")
        case AlertRule.Kind.P95_TIME:
            return duration(value)
        case AlertRule.Kind.BACKLOG:
            return plain_decimal(value)
        case AlertRule.Kind.SILENCE:
            # Translators: a number of hours, short
            return gettext("%(hours)s h") % {"hours": plain_decimal(value)}
        case _:
            return write_percent(value, style_of(get_language()))


def rule_words(rule: AlertRule) -> str:
    """What the rule watches, in one line."""
    bound = in_unit_of_rule(rule.kind, rule.bound)
    parts = [bound if rule.kind != AlertRule.Kind.SPEND else gettext("above %(amount)s") % {"amount": bound}]
    if rule.budget is not None:
        parts.append(rule.budget.name)
    if rule.kind in (AlertRule.Kind.SPEND, AlertRule.Kind.UNPRICED, AlertRule.Kind.ERRORS, AlertRule.Kind.P95_TIME):
        parts.append(gettext("an hour") if rule.step == AlertRule.Step.HOUR else gettext("a day"))
    if rule.by:
        parts.append(BY.get(rule.by, rule.by))
    return ", ".join([*map(str, parts), *scope_parts(rule.scope)])


BY: dict[str, Any] = {
    "org_id": _("each organisation by itself"),
    "ai_model": _("each model by itself"),
    "ai_provider": _("each provider by itself"),
    "agent_id": _("each agent by itself"),
    "request_type": _("each request type by itself"),
    "user_id": _("each user by itself"),
}
"""What a rule can watch one by one."""


def scope_parts(scope: dict[str, Any]) -> list[str]:
    """The filters of a rule: name and value of each."""
    found = []
    for name, value in scope.items():
        texts = value if isinstance(value, list) else [value]
        parameter = {"org_id": "org", "user_id": "user"}.get(name, name)
        title = label(parameter) if not name.startswith(TAG) else label(name)
        found.append(f"{title}: {', '.join(map(str, texts))}")
    return found


def firing_words(firing: AlertFiring) -> tuple[str, str]:
    """Title and sentence of an alert, as its messages have them. The values are those when it began."""
    began = AlertDelivery(firing=firing, event=AlertDelivery.Event.FIRING, value=firing.value)
    return sentences.written(Facts.of(firing, began))
