"""Links from rows that count the calls of some models only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from usage_billing.api.filters import MOST_VALUES
from usage_billing.pages.dimensions import MODEL
from usage_billing.pages.page import Page
from usage_billing.pages.parameters import Changes
from usage_billing.reports.totals import Totals

Models = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Links:
    """one: the address of the calls. None if no address has exactly these; then `several`: provider and address of a
    part of them.
    """

    one: str | None
    several: list[tuple[str, str]] = field(default_factory=list)


def calls_of_models(page: Page, models: Models, rows: Sequence[Totals], narrowing: Changes | None = None) -> Links:
    """The calls of these (provider, model) among the rows, which have provider and model.

    Filters by provider and by model allow each provider with each model: where that would be a pair too many, each
    provider has an address of its own.
    """
    wanted = set(models)
    providers = sorted({provider for provider, _ in wanted})
    names = {model for _, model in wanted}
    others = {MODEL.key(row) for row in rows} - wanted
    is_exact = not any(provider in providers and model in names for provider, model in others)
    if is_exact and len(names) <= MOST_VALUES:
        return Links(page.calls({"ai_provider": providers, "ai_model": sorted(names), **(narrowing or {})}))

    def of_provider(wanted_provider: str) -> str:
        own = sorted(model for provider, model in wanted if provider == wanted_provider)
        return page.calls({"ai_provider": wanted_provider, "ai_model": own, **(narrowing or {})})

    return Links(None, [(provider, of_provider(provider)) for provider in providers])
