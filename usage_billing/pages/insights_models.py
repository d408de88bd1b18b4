"""The model comparison: the tokens of the selected calls at the prices of other models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from usage_billing import reports
from usage_billing.pages.dimensions import MODEL
from usage_billing.pages.insights_amounts import Shown
from usage_billing.pages.insights_rows import Links, calls_of_models
from usage_billing.pages.page import Page
from usage_billing.reports import model_comparison
from usage_billing.reports.model_comparison import Model, ModelComparison
from usage_billing.reports.parameters import Excluded
from usage_billing.reports.token_prices import token_prices
from usage_billing.reports.token_totals import added_up
from usage_billing.reports.totals import COST_MEASURES, Totals

USED = 5
"""The most expensive models used here that are compared."""
NEWEST = 3
"""Newest models of each provider that are compared with a single model."""
MOST_ADDED = 12


@dataclass(frozen=True)
class Row:
    """cost: in the shown currency. difference: from what was paid, 0.25 for a quarter more. remove: an added model."""

    provider: str
    name: str
    cost: Decimal | None
    difference: Decimal | None
    is_own: bool
    remove: str | None


@dataclass(frozen=True)
class Section:
    """model: the one that the page is narrowed to, if it is. links: the compared calls.

    choices: provider → value, name. kept: the form's hidden parameters.
    """

    model: str
    comparison: ModelComparison
    paid: Decimal | None
    links: Links
    rows: list[Row]
    choices: dict[str, list[tuple[str, str]]]
    kept: list[tuple[str, str]]

    @property
    def link(self) -> str:
        """The compared calls, or where their links are listed."""
        return self.links.one or "#compared-calls"


def section(page: Page, rows: Sequence[Totals], shown: Shown) -> Section:
    """rows: of `reports.token_totals`. One query more where the page is narrowed to one model."""
    of_mix = added_up(rows, MODEL.columns)
    added = added_models(page)
    narrowed = is_narrowed(page)
    own = {MODEL.key(row) for row in of_mix} if narrowed else set()
    candidates = [*added, *own, *(_alternatives(page) if narrowed else _most_used(page, of_mix))]
    found = model_comparison.compare_models(of_mix, candidates, page.today)
    return Section(
        model=", ".join(sorted(name for _, name in own)),
        comparison=found,
        paid=shown.of(found.paid_usd),
        links=calls_of_models(page, found.models, rows),
        rows=[
            Row(
                *each.model,
                cost=shown.of(each.usd),
                difference=each.difference,
                is_own=each.model in own,
                remove=_without(page, added, each.model) if each.model in added else None,
            )
            for each in found.rows
        ],
        choices=_choices(page),
        kept=[
            *page.parameters.hidden(("compare_model", "compared")),
            *([("compared", _written(added))] if added else []),
        ],
    )


def is_narrowed(page: Page) -> bool:
    """Whether the page shows the calls of one model."""
    value = page.parameters.filters.get("ai_model")
    return value is not None and not isinstance(value, Excluded) and (isinstance(value, str) or len(value) == 1)


def added_models(page: Page) -> list[Model]:
    """The models that the address adds to the comparison."""
    own = page.parameters.own
    texts = [*own.get("compared", "").split(","), own.get("compare_model", "")]
    known = set(model_comparison.choices(page.today))
    pairs = [(provider, name) for provider, _, name in (text.partition("/") for text in texts)]
    return [pair for pair in dict.fromkeys(pairs) if pair in known][:MOST_ADDED]


def _most_used(page: Page, rows: Sequence[Totals]) -> list[Model]:
    """The first of the rows' models that can be compared."""
    models = [(row["ai_provider"], row["ai_model"]) for row in rows]
    return [model for model in models if token_prices(*model, page.today) is not None][:USED]


def _alternatives(page: Page) -> list[Model]:
    """The other models used in the period, and the newest of each provider. One query."""
    filters = {name: value for name, value in page.parameters.filters.items() if name not in MODEL.columns}
    used = reports.totals(
        page.scope,
        by=MODEL.columns,
        filters=filters,
        period=page.parameters.period,
        limit=4 * USED,
        measures=COST_MEASURES,
    )
    newest: list[Model] = []
    for provider in model_comparison.PROVIDERS:
        newest += [each for each in model_comparison.choices(page.today) if each[0] == provider][:NEWEST]
    return [*_most_used(page, used), *newest]


def _choices(page: Page) -> dict[str, list[tuple[str, str]]]:
    choices: dict[str, list[tuple[str, str]]] = {}
    for provider, name in model_comparison.choices(page.today):
        choices.setdefault(provider, []).append((f"{provider}/{name}", name))
    return choices


def _without(page: Page, added: Sequence[Model], model: Model) -> str:
    rest = _written([each for each in added if each != model])
    return page.link(compare_model=None, compared=rest or None) + "#comparison"


def _written(models: Sequence[Model]) -> str:
    return ",".join(f"{provider}/{name}" for provider, name in models)
