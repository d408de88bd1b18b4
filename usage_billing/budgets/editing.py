"""Creates, changes and deletes budgets, each with a line in their history, and tells the processes that make calls."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError
from django.utils import timezone

from usage_billing.budgets import published, validation
from usage_billing.budgets.access import check_may_change, check_may_create
from usage_billing.models import Budget, BudgetChange, Organization
from usage_billing.models.database import atomic, on_commit
from usage_billing.reports import user_names
from usage_billing.tenancy.scope import EVERYTHING, Scope, within

EDITABLE = (
    "name", "user_id", "agent_id", "request_type", "ai_provider", "ai_model", "tag_key", "tag_value", "window",
    "starts_on", "limit", "unit", "mode", "replacement", "thresholds", "when_unavailable", "is_active",
)  # fmt: skip
"""What a person may set. The organisation of a budget does not change."""

LOGGED_NAMES = {"user_id": "user"}
"""Columns that the history calls by another name: it keeps the user's name, which outlives the user."""


def create(
    *, scope: Scope, by: str, org: Organization, values: Mapping[str, Any], now: datetime | None = None
) -> Budget:
    """Set a budget. values: of `EDITABLE`; `name` and `limit` at least. `starts_on` is today if it is not given.

    by: the person's name, for the history. A superadmin's budgets stay superadmins'. Raises `ValidationError`, whose
    texts are by field, and `NotAllowedError`.
    """
    check_may_create(scope, org)
    budget = Budget(org=org, is_superadmins=scope.everything, **_editable(values))
    if budget.starts_on is None:
        budget.starts_on = (now or timezone.now()).astimezone(org.zone).date()
    _save(budget, {}, by, {})
    return budget


def change(
    budget: Budget, *, scope: Scope, by: str, values: Mapping[str, Any], note: Mapping[str, str] | None = None
) -> Budget:
    """Change some of a budget's `EDITABLE` fields, and return it as it is then; `budget` itself stays as it was.

    note: more for the line in the history, as name → text. Another mode than `downgrade` removes the cheaper model.
    Raises `ValidationError`, whose texts are by field, and `NotAllowedError`. Without a change nothing is written.
    """
    check_may_change(scope, budget)
    with atomic():
        found = locked(budget)
        before = {name: getattr(found, name) for name in EDITABLE}
        _assign(found, values)
        if found.mode != Budget.Mode.DOWNGRADE and "replacement" not in values:
            found.replacement = ""
        _save(found, before, by, note or {})
    return found


def delete(budget: Budget, *, scope: Scope, by: str) -> None:
    """Delete a budget; its history stays. Raises `NotAllowedError`."""
    check_may_change(scope, budget)
    with atomic():
        found = locked(budget)
        _log(found, by, {name: [text, ""] for name, text in texts(found).items()})
        # The web's role may not delete what was told of it.
        with within(EVERYTHING):
            found.delete()


def deactivate_of_user(user_id: Any, *, by: str) -> None:
    """Deactivate the budgets of a user who is deleted: they make no more calls."""
    with atomic():
        for budget in Budget.objects.filter(user_id=user_id, is_active=True):
            budget.is_active = False
            budget.save(update_fields=["is_active"])
            _log(budget, by, {"is_active": ["true", "false"]})


def texts(budget: Budget) -> dict[str, str]:
    """Each editable field that is not empty, as the history keeps it."""
    found = {LOGGED_NAMES.get(name, name): _text(name, getattr(budget, name)) for name in EDITABLE}
    return {name: text for name, text in found.items() if text}


def locked(budget: Budget) -> Budget:
    """The budget as it is now, for this transaction alone: two changes at once follow each other."""
    found = Budget.objects.select_for_update().filter(pk=budget.pk).first()
    if found is None:
        raise validation.changed_meanwhile()
    found.org = budget.org
    return found


def _editable(values: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := set(values) - set(EDITABLE):
        raise TypeError(f"Not editable: {', '.join(sorted(unknown))}")
    return dict(values)


def _assign(budget: Budget, values: Mapping[str, Any]) -> None:
    for name, value in _editable(values).items():
        setattr(budget, name, value)


def _save(budget: Budget, before: Mapping[str, Any], by: str, note: Mapping[str, str]) -> None:
    """Check and save a budget and log what is different from `before`, which is empty for a new one."""
    validation.clean(budget, before)
    after = {name: getattr(budget, name) for name in EDITABLE}
    changed = {
        LOGGED_NAMES.get(name, name): [_text(name, before[name]) if before else "", _text(name, value)]
        for name, value in after.items()
        if not before or before[name] != value
    }
    changed = {name: pair for name, pair in changed.items() if any(pair)}
    if not changed:
        return
    try:
        with atomic():
            budget.save()
            _log(budget, by, changed | {name: ["", text] for name, text in note.items()})
    except IntegrityError as error:
        # Another request was quicker, or deleted what this one names.
        validation.check_name(budget)
        raise validation.changed_meanwhile() from error


def _log(budget: Budget, by: str, fields: Mapping[str, list[str]]) -> None:
    """Add a line to the history, and publish the change once it is committed."""
    on_commit(published.publish)
    BudgetChange.objects.create(
        org_id=budget.org_id, budget=budget, budget_name=budget.name, by=by[:150], fields=dict(fields)
    )


def _text(name: str, value: Any) -> str:
    if name == "user_id":
        return "" if value is None else user_names([value]).get(value, str(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value.normalize() + 0, "f")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
