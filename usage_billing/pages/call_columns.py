"""The columns of the list of calls, and the cells of each call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.forms.utils import flatatt
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import get_language, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from usage_billing.models import UsageRecord
from usage_billing.pages import calls_list
from usage_billing.pages.calls_list import Entry
from usage_billing.pages.dimensions import AGENT, CONTENT, MODEL, ORG, PROVIDER, STATUS, USER, WORKFLOW, Word
from usage_billing.pages.page import CALLS, Page
from usage_billing.templatetags.amounts import common_places, duration, in_column, moment, style_of, write_number

TIME, COST = "created_at", "cost"
"""The first column, which leads to the call, and the amount in the currency of the switch."""


@dataclass(frozen=True)
class Column:
    """ordering: what `sort` names it by, if the list can be sorted by it. css: classes of its cells."""

    name: str
    title: Word
    css: str = ""
    ordering: str = ""


COLUMNS = (
    Column(TIME, _("Time"), "time", "created_at"),
    Column(COST, _("Cost"), "number amount", "cost_usd"),
    Column("request_type", _("Type"), "name"),
    Column("agent_id", AGENT.one, "name"),
    Column("ai_model", MODEL.one, "name"),
    Column("ai_provider", PROVIDER.one, "name"),
    Column("org", ORG.one, "name"),
    Column("user", USER.one, "name"),
    Column("tags", _("Tags"), "name tags"),
    Column("prompt_tokens", _("Input"), "number"),
    Column("completion_tokens", _("Output"), "number"),
    Column("cached_tokens", _("From the cache"), "number"),
    Column("total_tokens", _("Tokens"), "number", "total_tokens"),
    Column("execution_time_ms", pgettext_lazy("duration", "Time"), "number", "execution_time_ms"),
    Column("cost_usd", "USD", "number"),
    Column("cost_rub", "RUB", "number"),
    Column("status", STATUS.one),
    Column("error_code", _("Error"), "name"),
    Column("workflow_id", WORKFLOW.one, "name id"),
    Column("content_id", CONTENT.one, "name"),
    Column("request_id", _("Request id"), "name id"),
)
BY_NAME = {each.name: each for each in COLUMNS}
DEFAULT = (TIME, "request_type", "ai_model", "org", "user", "tags", "total_tokens", "execution_time_ms", COST, "status")


Cell = tuple[SafeString, str]
"""Attributes of the `td`, the same for the whole column, and its text. The template tests nothing in each of its 500
cells: the whole request took 26 ms, now 22."""


@dataclass(frozen=True)
class Row:
    """time: the text of the link to the call; the other cells follow."""

    link: str
    moment: datetime
    time: str
    cells: list[Cell]


@dataclass(frozen=True)
class Head:
    """A header. link: the list sorted by this column, or by its reverse; sorted: the value of `aria-sort`."""

    title: Word
    css: str
    link: str = ""
    sorted: str = ""


def chosen(page: Page, names: Sequence[str] | None) -> list[Column]:
    """The named columns, or the default ones; the time is always the first."""
    wanted = {TIME, *(DEFAULT if names is None else names)}
    if names is None and not page.several_orgs:
        wanted.discard("org")
    if COST in wanted:
        wanted.discard(f"cost_{page.parameters.currency}")
    order = DEFAULT if names is None else [each.name for each in COLUMNS]
    return [BY_NAME[name] for name in order if name in wanted]


def compact(page: Page) -> list[Column]:
    """The default columns without the tags, for a list that stands on another page than Calls."""
    return [each for each in chosen(page, None) if each.name != "tags"]


def offered(page: Page) -> list[Column]:
    """The columns to choose from: the switch's currency is that of the cost."""
    left_out = {TIME, f"cost_{page.parameters.currency}"} | (set() if page.several_orgs else {"org"})
    return [each for each in COLUMNS if each.name not in left_out]


def heads(page: Page, columns: Sequence[Column], sort: str = "") -> list[Head]:
    """The headers. Their links sort the page's list, or lead from another page to the sorted list."""
    sorted_by, descending = sort.removeprefix("-"), sort.startswith("-")
    found = []
    for column in columns:
        is_sorted = bool(column.ordering) and column.ordering == sorted_by
        ordering = column.ordering if is_sorted and descending else f"-{column.ordering}"
        title = page.parameters.currency.upper() if column.name == COST else column.title
        found.append(
            Head(
                title,
                column.css,
                _sorted_list(page, ordering) if column.ordering else "",
                ("descending" if descending else "ascending") if is_sorted else "",
            )
        )
    return found


def _sorted_list(page: Page, ordering: str) -> str:
    return page.link(sort=ordering) if page.name == CALLS else page.calls(sort=ordering)


def rows(page: Page, columns: Sequence[Column], calls: Iterable[UsageRecord]) -> list[Row]:
    """The rows of these calls. One query for the names of users; content has the names that its source tells."""
    entries = calls_list.entries(page, calls)
    if any(column.name == "content_id" for column in columns):
        page.names.look_up(contents=(entry.call.content_id for entry in entries))
    writers = [(column, _writer(page, column, entries)) for column in columns[1:]]
    zone = ZoneInfo(page.zone)
    found = []
    for entry in entries:
        local = localtime(entry.call.created_at, zone)
        cells = [write(entry) for _column, write in writers]
        found.append(Row(entry.link, local, moment(local), cells))
    return found


Write = Callable[[Entry], Cell]
WITH_LABEL = ("prompt_tokens", "completion_tokens", "cached_tokens", "total_tokens", "cost_usd", "cost_rub")
"""Columns whose values do not tell what they are, on the phone's cards, which have no headers."""


def _writer(page: Page, column: Column, entries: Sequence[Entry]) -> Write:
    """A function that makes a call's cell of this column."""
    given = {"class": column.css or None, "data-label": column.title if column.name in WITH_LABEL else None}
    attributes, text = flatatt(given), _text_of(page, column.name, entries)
    return lambda entry: (attributes, text(entry))


def _text_of(page: Page, name: str, entries: Sequence[Entry]) -> Callable[[Entry], str]:
    """A function that writes a call's value of this column."""
    if name == COST or name.startswith("cost_"):
        amount = f"cost_{page.parameters.currency}" if name == COST else name
        places = common_places(getattr(entry.call, amount) for entry in entries)
        return lambda entry: in_column(getattr(entry.call, amount), places)
    if name.endswith("_tokens"):
        style = style_of(get_language())
        return lambda entry: write_number(getattr(entry.call, name), style)
    texts: dict[str, Callable[[Entry], str]] = {
        "org": lambda entry: entry.org,
        "user": lambda entry: entry.who,
        "tags": lambda entry: _tags(entry.call) or "—",
        "execution_time_ms": lambda entry: duration(entry.call.execution_time_ms),
        "status": lambda entry: _status(entry.call.status, entry.status),
        "content_id": lambda entry: page.names.contents.get(entry.call.content_id or "", entry.call.content_id or "—"),
    }
    return texts.get(name, lambda entry: getattr(entry.call, name) or "—")


def _tags(call: UsageRecord) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(call.tags.items()))


@functools.lru_cache(maxsize=64)
def _status(status: str, text: str) -> SafeString:
    return format_html('<span class="status {}">{}</span>', status, text)
