"""Parameters of links from rows that count the calls of some models only."""

from __future__ import annotations

from collections.abc import Iterable


def of_models(models: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The URL parameters that narrow calls to these models. models: (provider, model)."""
    pairs = list(models)
    return {
        "ai_provider": sorted({provider for provider, _ in pairs}),
        "ai_model": sorted({model for _, model in pairs}),
    }
