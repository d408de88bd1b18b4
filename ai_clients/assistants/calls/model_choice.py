"""Chooses provider and model of the assistants' own requests, by request type."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_args

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from ai_clients.assistants.calls.structured import Provider
from usage_billing import usage_context
from usage_billing.budgets.downgrades import replacement
from usage_billing.conf import conf
from usage_billing.recording import current_attribution

PROVIDERS: tuple[Provider, ...] = get_args(Provider)

DOWNGRADED = "downgraded_from"
"""In a call's metadata: the model that a budget has replaced by a cheaper one."""

FORM = "provider:model, such as openai:gpt-6-luna"


@dataclass(frozen=True)
class Choice:
    provider: Provider
    model: str


def model_for(request_type: str) -> Choice:
    """The choice in `conf.MODELS`. Raises ImproperlyConfigured for one that cannot be read."""
    chosen: str = conf.MODELS[request_type]
    name, _, model = chosen.partition(":")
    for provider in PROVIDERS:
        if name == provider and model:
            return Choice(provider, model)
    raise ImproperlyConfigured(f"{request_type} asks for the model {chosen!r}. Write {FORM}.")


@contextmanager
def within_budgets(provider: Provider, model: str, allowed: Collection[Provider] = PROVIDERS) -> Iterator[Choice]:
    """The model for a call of the present `usage_context`: a cheaper one if a budget that is used up asks for it.

    allowed: providers that the call can go to. The record tells which model was replaced, and by which budget.
    """
    found = replacement(current_attribution(), provider, model)
    cheaper = next((name for name in allowed if found is not None and name == found.provider), None)
    if found is None or cheaper is None:
        yield Choice(provider, model)
        return
    with usage_context(metadata={DOWNGRADED: f"{provider}:{model}", "budget_id": found.budget_id}):
        yield Choice(cheaper, found.model)


def check_choices(**_options: Any) -> list[CheckMessage]:
    """Check all choices at `manage.py check`, before any money is spent."""
    wrong: list[CheckMessage] = []
    for request_type in conf.MODELS:
        try:
            model_for(request_type)
        except ImproperlyConfigured as error:
            wrong.append(Error(f"AI_MODELS: {error}", id="ai_assistants.E002"))
    return wrong
