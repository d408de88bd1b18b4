"""Chooses provider and model of the assistants' own requests, by request type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from ai_clients.assistants.calls.structured import Provider
from usage_billing.conf import conf

FORM = "provider:model, such as openai:gpt-6-luna"


@dataclass(frozen=True)
class Choice:
    provider: Provider
    model: str


def model_for(request_type: str) -> Choice:
    """The choice in `conf.MODELS`. Raises ImproperlyConfigured for one that cannot be read."""
    chosen: str = conf.MODELS[request_type]
    name, _, model = chosen.partition(":")
    for provider in get_args(Provider):
        if name == provider and model:
            return Choice(provider, model)
    raise ImproperlyConfigured(f"{request_type} asks for the model {chosen!r}. Write {FORM}.")


def check_choices(**_options: Any) -> list[CheckMessage]:
    """Check all choices at `manage.py check`, before any money is spent."""
    wrong: list[CheckMessage] = []
    for request_type in conf.MODELS:
        try:
            model_for(request_type)
        except ImproperlyConfigured as error:
            wrong.append(Error(f"AI_MODELS: {error}", id="ai_assistants.E002"))
    return wrong
