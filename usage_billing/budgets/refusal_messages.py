"""Says to a developer why a call was not sent. In English, like the providers' own errors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from usage_billing.budgets.holdings import UsedUp
from usage_billing.budgets.published import PublishedBudget
from usage_billing.recording.admission import Refusal

_WINDOWS = {"day": "today", "week": "this week", "month": "this month", "total": "in total"}
_UNITS = {"usd": "USD", "rub": "RUB", "tokens": "tokens", "calls": "calls"}


def used_up(found: UsedUp) -> Refusal:
    """The refusal by a budget of which too little is left for the call."""
    stake, budget = found.stake, found.stake.budget
    resets_at = stake.window.resets_at(budget.timezone)
    reserved = (
        f" and {_amount(found.reserved, budget)} reserved by calls that are not recorded yet" if found.reserved else ""
    )
    reset = f" It resets at {resets_at.isoformat(timespec='minutes')}." if resets_at else ""
    message = (
        f"Budget “{budget.name}” of {budget.org_slug} is used up {_WINDOWS[budget.window]}:"
        f" {_amount(found.spent, budget)} of {_amount(found.limit, budget)} {_UNITS[budget.unit]} are spent{reserved},"
        f" and this call may take"
        f" {_amount(stake.amount, budget)}.{reset} Ask the organisation's owner for a higher limit."
    )
    facts = {"spent": found.spent, "reserved": found.reserved, "limit": found.limit, "wanted": stake.amount}
    amounts = {name: _amount(value, budget) for name, value in facts.items()}
    return Refusal(message, {**_facts(budget), **amounts, "resets_at": resets_at and resets_at.isoformat()})


def unavailable(budget: PublishedBudget) -> Refusal:
    """The refusal by a budget that stops calls while nobody can tell what is left of it."""
    message = (
        f"Budget “{budget.name}” of {budget.org_slug} cannot be asked, because its database does not answer, and it is"
        " set to refuse calls then (when_unavailable: closed)."
    )
    return Refusal(message, {**_facts(budget), "unavailable": True})


def _facts(budget: PublishedBudget) -> dict[str, Any]:
    return {"id": budget.id, "name": budget.name, "unit": budget.unit, "window": budget.window}


def _amount(value: Decimal, budget: PublishedBudget) -> str:
    """With as many digits as the value has, at most four behind the point, but two for money."""
    if budget.unit in ("tokens", "calls"):
        return f"{value:.0f}"
    short = f"{value:.4f}".rstrip("0")
    whole, _, places = short.partition(".")
    return f"{whole}.{places.ljust(2, '0')}"
