"""The table of Explore: a row for each value of the group, or for each pair of two groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from usage_billing.pages import explore_metrics
from usage_billing.pages.colors import color_of
from usage_billing.pages.explore_choice import CHANGE, NAME, SORTED_HERE, THEN, Choice
from usage_billing.pages.explore_data import Data
from usage_billing.pages.explore_links import without_rows
from usage_billing.pages.explore_metrics import COST, REQUESTS, Metric, column_writer, exact
from usage_billing.pages.page import CALLS, Page
from usage_billing.pages.parameters import Changes
from usage_billing.reports.figures import change, is_new, ratio
from usage_billing.reports.totals import Totals
from usage_billing.templatetags import amounts

MOST_LINKED_ROWS = 60
"""In a longer table only the calls and the amounts are links: 500 rows of nine links are half a megabyte."""


@dataclass(frozen=True)
class Column:
    """The head of a column. link: to the page in its order. order: `ascending`, `descending`, or nothing."""

    name: str
    title: str | Promise
    link: str
    order: str
    is_chosen: bool = False


@dataclass(frozen=True)
class Name:
    """A value of a group. link: to this page, narrowed to it."""

    text: str
    link: str | None
    is_named: bool = True
    color: str = ""


@dataclass(frozen=True)
class Cell:
    """name: of its column. exact: all digits, for the tooltip. is_chosen: of the metric that the page is about."""

    name: str
    text: str
    exact: str = ""
    link: str | None = None
    is_chosen: bool = False


@dataclass(frozen=True)
class Row:
    """kind: empty, `rest` for all others, `sum` for the total. unpriced: how many calls the amount leaves out."""

    kind: str
    names: list[Name]
    share: Decimal | None
    cells: list[Cell]
    unpriced: int
    unpriced_link: str
    sums: Totals
    change: Decimal | None


@dataclass(frozen=True)
class Table:
    """change: of the whole, as text. all_link: to the table of all rows, if some are not shown. few_link: back."""

    columns: list[Column]
    rows: list[Row]
    metrics: list[Metric]
    has_share: bool
    has_change: bool
    change: str
    all_link: str | None
    few_link: str | None

    @property
    def sorted_by(self) -> Column | None:
        return next((column for column in self.columns if column.order), None)


def table(page: Page, choice: Choice, data: Data) -> Table:
    """The rows in the order of the chosen column, all others, and the total."""
    for dimension in choice.groups:
        page.names.look_up_rows(dimension, data.rows)
    metrics = _metrics(choice)
    writers = {
        each.name: column_writer(each.kind, (each.value(row, choice.currency) for row in data.rows)) for each in metrics
    }
    maker = _Maker(page, choice, data, metrics, writers, has_all_links=len(data.rows) <= MOST_LINKED_ROWS)
    rows = [maker.of_group(row) for row in data.rows]
    if choice.sort in SORTED_HERE:
        rows = _sorted(rows, choice)
    if data.other is not None:
        rows.append(maker.of_others(data.other))
    whole = maker.total()
    return Table(
        columns=_columns(page, choice, metrics, has_change=maker.has_change),
        rows=[*rows, whole],
        metrics=metrics,
        has_share=choice.metric.is_additive,
        has_change=maker.has_change,
        change=next((cell.text for cell in whole.cells if cell.name == CHANGE and whole.change is not None), ""),
        all_link=page.link(rows="all") if data.other is not None and not choice.all_rows else None,
        few_link=page.link(rows=None) if choice.all_rows else None,
    )


def _metrics(choice: Choice) -> list[Metric]:
    """The columns of figures; the cost is last, and the chosen metric before it if it is none of the usual ones."""
    chosen = [] if choice.metric in (*explore_metrics.ALWAYS, COST) else [choice.metric]
    return [*explore_metrics.ALWAYS, *chosen, COST]


def _sorted(rows: list[Row], choice: Choice) -> list[Row]:
    """Rows without a change come last."""
    if choice.sort == CHANGE:
        sign = -1 if choice.is_descending else 1
        return sorted(rows, key=lambda row: (row.change is None, sign * (row.change or 0)))
    number = 1 if choice.sort == THEN else 0
    return sorted(rows, key=lambda row: row.names[number].text.casefold(), reverse=choice.is_descending)


@dataclass(frozen=True)
class _Maker:
    page: Page
    choice: Choice
    data: Data
    metrics: Sequence[Metric]
    writers: dict[str, Any]
    has_all_links: bool

    @property
    def has_change(self) -> bool:
        return self.choice.compared is not None

    def of_group(self, sums: Totals) -> Row:
        narrowing = self.choice.narrowing(sums)
        before = self.data.rows_before.get(self.choice.key(sums))
        names = [self._name(number, sums) for number in range(len(self.choice.groups))]
        return self._row("", names, sums, before, narrowing)

    def of_others(self, sums: Totals) -> Row:
        """All others: their calls are those that the shown rows do not count, where filters can say so."""
        calls = None if self.choice.then else without_rows(self.page, self.choice, self.data.rows, self.data.hidden)
        name = Name(gettext("all others"), None if self.choice.all_rows else self.page.link(rows="all"))
        return self._row("rest", [name], sums, None, calls)

    def total(self) -> Row:
        return self._row("sum", [Name(gettext("Total"), None)], self.data.whole, self.data.before, {})

    def _row(self, kind: str, names: list[Name], sums: Totals, before: Totals | None, narrowing: Changes | None) -> Row:
        metric, currency = self.choice.metric, self.choice.currency
        value, whole = metric.value(sums, currency), metric.value(self.data.whole, currency)
        changed, text = (None, "") if kind == "rest" else self._change(value, before)
        cells = [self._cell(each, sums, narrowing) for each in self.metrics]
        if self.has_change:
            cells.insert(-1, Cell(CHANGE, text, link=self._calls_before(narrowing) if text and before else None))
        return Row(
            kind=kind,
            names=names,
            share=ratio(value, whole) if metric.is_additive else None,
            cells=cells,
            unpriced=sums[f"unpriced_{currency}_count"],
            unpriced_link=self.page.calls({**(narrowing or {}), "unpriced": currency}),
            sums=sums,
            change=changed,
        )

    def _name(self, number: int, sums: Totals) -> Name:
        dimension = self.choice.groups[number]
        key = dimension.key(sums)
        return Name(
            self.page.names.of(dimension, key),
            self.page.link(dimension.narrowing(key)),
            is_named=bool(key[-1]),
            color=color_of(dimension.name, str(key[-1])) if number == 0 else "",
        )

    def _cell(self, metric: Metric, sums: Totals, narrowing: Changes | None) -> Cell:
        value, is_chosen = metric.value(sums, self.choice.currency), metric is self.choice.metric
        if value is None:
            return Cell(metric.name, "—", is_chosen=is_chosen)
        is_linked = narrowing is not None and (self.has_all_links or metric in (REQUESTS, COST))
        link = self.page.calls({**metric.calls, **(narrowing or {})}) if is_linked else None
        return Cell(metric.name, self.writers[metric.name](value), exact(value), link, is_chosen)

    def _change(self, value: Decimal | None, before: Totals | None) -> tuple[Decimal | None, str]:
        """The change of the metric, and its text."""
        if not self.has_change or not self.data.reaches_back:
            return None, "—"
        earlier = None if before is None else self.choice.metric.value(before, self.choice.currency)
        if before is None or is_new(value, earlier):
            return None, gettext("new")
        changed = change(value, earlier)
        return changed, "—" if changed is None else amounts.change(changed)

    def _calls_before(self, narrowing: Changes | None) -> str | None:
        """The calls of the compared period."""
        compared = self.choice.compared
        if narrowing is None or compared is None or compared.since is None:
            return None
        days = self.page.day(compared.since, compared.last_day(self.page.today))
        return self.page.to(CALLS, {**days, **narrowing})


# ── Heads ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _columns(page: Page, choice: Choice, metrics: Iterable[Metric], *, has_change: bool) -> list[Column]:
    """The heads: the groups, the share, the figures."""
    columns = [_column(page, choice, name, group.one) for name, group in zip((NAME, THEN), choice.groups, strict=False)]
    if choice.metric.is_additive:
        columns.append(_column(page, choice, "share", gettext_lazy("Share")))
    for each in metrics:
        if each is COST and has_change:
            columns.append(_column(page, choice, CHANGE, gettext_lazy("Change")))
        columns.append(_column(page, choice, each.name, choice.currency.upper() if each is COST else each.short))
    return columns


def _column(page: Page, choice: Choice, name: str, title: str | Promise) -> Column:
    """A number is ordered largest first, and a name from A, at first."""
    is_current = choice.sort == name
    falls_first = name not in (NAME, THEN)
    descending = not choice.is_descending if is_current else falls_first
    order = "" if not is_current else "descending" if choice.is_descending else "ascending"
    link = page.link(sort=("-" if descending else "") + name)
    return Column(name, title, link, order, is_chosen=name == choice.metric.name)
