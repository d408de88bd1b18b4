"""Which calls a budget counts: by what is known before a call, and by the filters of reports."""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple, Protocol

from usage_billing.models import Budget, user_keys
from usage_billing.recording import gate
from usage_billing.recording.context import Attribution
from usage_billing.reports import TAG

_DATED = re.compile(r"[-@]\d{4}-?\d\d-?\d\d")
"""The version that providers add to the name that was asked for: `gpt-6.1-sol-2026-10-01`."""


class Scoped(Protocol):
    """A budget's scope; an empty text is any. `user_id`: as text."""

    @property
    def user_id(self) -> str: ...
    @property
    def agent_id(self) -> str: ...
    @property
    def request_type(self) -> str: ...
    @property
    def ai_provider(self) -> str: ...
    @property
    def ai_model(self) -> str: ...
    @property
    def tag_key(self) -> str: ...
    @property
    def tag_value(self) -> str: ...


class Caller(NamedTuple):
    """Who makes a call, and to what: what is known before it is sent."""

    attribution: Attribution
    ai_provider: str
    ai_model: str


def may_count(budget: Scoped, given: Attribution) -> bool:
    """Whether a budget of the call's organisation may count it, whatever its provider and model are."""
    return (
        (not budget.agent_id or budget.agent_id == as_recorded(given.agent_id, "agent_id"))
        and (not budget.request_type or budget.request_type == as_recorded(given.request_type, "request_type"))
        and (not budget.user_id or budget.user_id == _user(given))
        and (not budget.tag_key or given.tags.get(budget.tag_key) == budget.tag_value)
    )


def counts(budget: Scoped, caller: Caller) -> bool:
    """Whether a budget of the call's organisation counts it."""
    return (
        may_count(budget, caller.attribution)
        and budget.ai_provider in ("", caller.ai_provider)
        and (not budget.ai_model or is_version_of(caller.ai_model, budget.ai_model))
    )


as_recorded = functools.lru_cache(maxsize=4096)(gate.name)
"""A word as the ledger has it: without unprintable characters, cut to its column."""


def _user(given: Attribution) -> str:
    """The user's key as text, as the ledger will know it."""
    key = user_keys.parse(given.user_id)
    return "" if key is None else str(key)


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
