"""Budgets in words: which calls each counts, and the address that lists exactly these calls."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from django.core.exceptions import FieldDoesNotExist
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from usage_billing import reports
from usage_billing.budgets.requests import GRANTED_TO
from usage_billing.budgets.scopes import filters_of, is_version_of
from usage_billing.budgets.spending import REFUSED
from usage_billing.budgets.windows import Window
from usage_billing.models import Budget, BudgetChange
from usage_billing.pages.dimensions import label
from usage_billing.pages.names import Names
from usage_billing.pages.page import CALLS, address
from usage_billing.pages.parameters import query_of
from usage_billing.reports import TAG, Period
from usage_billing.templatetags.amounts import with_unit, written_day
from usage_billing.tenancy.scope import of_organization


class Narrow(NamedTuple):
    """One condition of a budget's scope."""

    label: str
    value: str


def scope_words(budget: Budget, known: Names) -> list[Narrow]:
    """Its conditions; none: all calls of its organisation. The names of users must be looked up."""
    found = [] if budget.user_id is None else [Narrow(label("user"), known.user(budget.user_id))]
    names = ("agent_id", "request_type", "ai_provider", "ai_model")
    found += [Narrow(label(name), value) for name in names if (value := getattr(budget, name))]
    if budget.tag_key:
        found.append(Narrow(label(TAG + budget.tag_key), budget.tag_value))
    return found


def calls_link(budget: Budget, window: Window, *, for_superadmin: bool) -> str:
    """The address of the calls that the budget counts in the window. One query if it is for a model."""
    pairs = [("from", window.first.isoformat())]
    if window.end is not None:
        pairs.append(("to", (window.end - timedelta(days=1)).isoformat()))
    pairs += [({"org_id": "org", "user_id": "user"}.get(name, name), str(value)) for name, value in _filters(budget)]
    pairs += [("ai_model", name) for name in _models(budget, window)]
    if budget.unit == Budget.Unit.CALLS:
        pairs.append(("status!", REFUSED))
    if budget.unit == Budget.Unit.RUB:
        pairs.append(("currency", "rub"))
    return f"{address(CALLS, for_superadmin=for_superadmin)}?{query_of(tuple(pairs), {})}"


def _filters(budget: Budget) -> Iterable[tuple[str, Any]]:
    return filters_of(budget).items()


def _models(budget: Budget, window: Window) -> list[str]:
    """The names under which the calls of the budget's model are recorded."""
    if not budget.ai_model:
        return []
    scope, period = of_organization(budget.org_id), Period(window.first, window.end)
    rows = reports.totals(
        scope, by=["ai_model"], filters=filters_of(budget), period=period, measures=("requests_count",)
    )
    found = [row["ai_model"] for row in rows if is_version_of(row["ai_model"], budget.ai_model)]
    return sorted({*found, budget.ai_model})


# ── The history of changes ───────────────────────────────────────────────────────────────────────────────────────


CHOICES: dict[str, dict[Any, Any]] = {
    "window": dict(Budget.Window.choices),
    "unit": dict(Budget.Unit.choices),
    "mode": dict(Budget.Mode.choices),
    "when_unavailable": dict(Budget.WhenUnavailable.choices),
}


LABELS = {GRANTED_TO: _("At the request of"), "thresholds": _("Thresholds")}


class FieldChange(NamedTuple):
    label: str
    before: str
    after: str


def history_in_words(changes: Iterable[BudgetChange], unit: str) -> list[tuple[BudgetChange, list[FieldChange]]]:
    """Each change, newest first, with its fields. unit: of the budget now; earlier limits may be in another."""
    found = []
    for change in changes:
        before_unit = change.fields.get("unit", [unit])[0] or unit
        words = [
            FieldChange(_field_label(name), _value(name, before, before_unit), _value(name, after, unit))
            for name, (before, after) in change.fields.items()
        ]
        found.append((change, words))
        unit = before_unit
    return found


def _field_label(name: str) -> str:
    if name in LABELS:
        return str(LABELS[name])
    try:
        return capfirst(str(Budget._meta.get_field(name).verbose_name))  # type: ignore[union-attr]
    except FieldDoesNotExist:
        return name


def _value(name: str, text: str, unit: str) -> str:
    """A value as the history keeps it (`editing.texts`), in the reader's language."""
    if not text:
        return "—"
    if text in ("true", "false"):
        return gettext("yes") if text == "true" else gettext("no")
    if name == "limit":
        try:
            return with_unit(Decimal(text), unit)
        except InvalidOperation:
            return text
    if name == "starts_on":
        return written_day(date.fromisoformat(text))
    return str(CHOICES.get(name, {}).get(text, text))
