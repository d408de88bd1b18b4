"""Which calls a budget counts: by what is known before a call, and by the filters of reports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from usage_billing.models import Budget
from usage_billing.reports import TAG

_DATED = re.compile(r"[-@]\d{4}-?\d\d-?\d\d")
"""The version that providers add to the name that was asked for: `gpt-6.1-sol-2026-10-01`."""


class Caller(NamedTuple):
    """Who makes a call, and to what: what is known before it is sent. No user is None."""

    org_id: int
    user_id: Any
    agent_id: str
    request_type: str
    tags: Mapping[str, str]
    ai_provider: str
    ai_model: str


def counts(budget: Budget, caller: Caller) -> bool:
    """Whether the budget counts the caller's calls."""
    return (
        budget.org_id == caller.org_id
        and budget.user_id in (None, caller.user_id)
        and budget.agent_id in ("", caller.agent_id)
        and budget.request_type in ("", caller.request_type)
        and budget.ai_provider in ("", caller.ai_provider)
        and (not budget.ai_model or is_version_of(caller.ai_model, budget.ai_model))
        and (not budget.tag_key or caller.tags.get(budget.tag_key) == budget.tag_value)
    )


def is_version_of(name: str, model: str) -> bool:
    """Whether it is the model, or a dated version of it: the answer may name another one than the request."""
    return name == model or (name.startswith(model) and _DATED.fullmatch(name[len(model) :]) is not None)


def filters_of(budget: Budget) -> dict[str, Any]:
    """The filters of reports for the budget's calls, except for its model, which may have several names."""
    filters: dict[str, Any] = {"org_id": budget.org_id}
    for name in ("agent_id", "request_type", "ai_provider"):
        if value := getattr(budget, name):
            filters[name] = value
    if budget.user_id is not None:
        filters["user_id"] = budget.user_id
    if budget.tag_key:
        filters[TAG + budget.tag_key] = budget.tag_value
    return filters
