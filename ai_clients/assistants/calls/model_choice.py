"""Which provider and model each kind of our own requests goes to."""

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
    """The choice of `conf.MODELS`. Raises ImproperlyConfigured for one that is none."""
    chosen: str = conf.MODELS[request_type]
    name, _, model = chosen.partition(":")
    for provider in get_args(Provider):
        if name == provider and model:
            return Choice(provider, model)
    raise ImproperlyConfigured(f"{request_type} asks for the model {chosen!r}. Write {FORM}.")


def check_choices(**_options: Any) -> list[CheckMessage]:
    """The settings of all of them, when Django looks over itself and not when the money is to be spent."""
    wrong: list[CheckMessage] = []
    for request_type in conf.MODELS:
        try:
            model_for(request_type)
        except ImproperlyConfigured as error:
            wrong.append(Error(f"AI_MODELS: {error}", id="ai_assistants.E002"))
    return wrong
