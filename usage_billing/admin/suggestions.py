"""Text fields with suggestions in a `<datalist>`, which needs no script."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from usage_billing import reports
from usage_billing.admin.theme import TextInput
from usage_billing.costing.price_list import get_snapshot
from usage_billing.reports import Period
from usage_billing.reports.totals import COST_MEASURES
from usage_billing.tenancy.scope import EVERYTHING

SEEN_DAYS = 92
"""For how many days a model stays among the suggestions after its last call."""
MOST_MODELS = 500
"""How many models of calls are suggested: those that cost most."""
ALWAYS = ("anthropic", "openai")
"""Providers whose models are suggested before their first call."""


class SuggestingTextInput(TextInput):
    """A text field that offers `suggestions`, and takes any other text too."""

    def __init__(self, suggestions: Iterable[str], attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        self.suggestions = sorted(set(suggestions))

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        id_ = f"{(attrs or {}).get('id', name)}-suggestions"
        field = super().render(name, value, {**(attrs or {}), "list": id_, "autocomplete": "off"}, renderer)
        options = format_html_join("", '<option value="{}"></option>', ((text,) for text in self.suggestions))
        return format_html('{}<datalist id="{}">{}</datalist>', field, id_, options)


def provider_input(request: HttpRequest) -> SuggestingTextInput:
    """Return a field that suggests the providers of calls, and those of the price list."""
    used = {provider for provider, _model in _used_models(request) if provider}
    return SuggestingTextInput(used | {each.id for each in get_snapshot().providers})


def model_input(request: HttpRequest) -> SuggestingTextInput:
    """Return a field that suggests the models of calls, and those that the price list has of the same providers."""
    used = _used_models(request)
    providers = {provider for provider, _model in used} | {*ALWAYS}
    listed = (each for each in get_snapshot().providers if each.id in providers)
    return SuggestingTextInput(
        {model for _provider, model in used if model} | {model.id for each in listed for model in each.models}
    )


def _used_models(request: HttpRequest) -> list[tuple[str, str]]:
    """Return provider and model of the calls of the last `SEEN_DAYS` days. One query a request."""
    known: list[tuple[str, str]] | None = getattr(request, "used_models", None)
    if known is None:
        since = timezone.now().date() - timedelta(days=SEEN_DAYS)
        rows = reports.totals(
            EVERYTHING, by=("ai_provider", "ai_model"), period=Period(since), limit=MOST_MODELS, measures=COST_MEASURES
        )
        known = [(row["ai_provider"], row["ai_model"]) for row in rows]
        request.used_models = known  # type: ignore[attr-defined]
    return known


def time_zones() -> set[str]:
    return {name for name in zoneinfo.available_timezones() if "/" in name or name == "UTC"}
