"""The rows of the page's long tables and lists: a template takes four times as long to fill them in.

What people and programs have named is escaped here, each name where it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from html import escape
from typing import Any, NamedTuple

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext, ngettext

from usage_billing.templatetags.amounts import (
    Style,
    amount,
    change,
    share,
    share_width,
    style_of,
    write_number,
    written_day,
)

register = template.Library()


@register.simple_tag
def day_rows(days: Iterable[Mapping[str, Any]], currency: str) -> SafeString:
    """Of the table by day: its totals in both currencies, then each layer's amount in the one that was chosen."""
    style = _style()
    return _joined(_day_row(day, currency.upper(), style) for day in days)


def _day_row(day: Mapping[str, Any], currency: str, style: Style) -> str:
    sums = day["sums"]
    when = f'<time datetime="{sums["date"].isoformat()}">{written_day(sums["date"])}</time>'
    cells = [
        write_number(sums["requests_count"], style),
        write_number(sums["total_tokens"], style),
        amount(sums["cost_usd"], "USD", style),
        amount(sums["cost_rub"], "RUB", style),
        write_number(sums["unpriced_rub_count"], style),
        *(amount(value, currency, style) for value in day["amounts"]),
    ]
    return f'<tr><th scope="row">{_linked(when, day["link"])}</th>{"".join(map(_number, cells))}</tr>\n'


@register.simple_tag
def panel_rows(rows: Iterable[Any], currency: str) -> SafeString:
    """Of a breakdown: name and share, the amount in the chosen currency, its trend, calls, tokens, the other amount."""
    style = _style()
    return _joined(_panel_row(row, currency, style) for row in rows)


def _panel_row(row: Any, currency: str, style: Style) -> str:
    sums = row.sums
    name = escape(row.name) if row.is_named else f"<em>{escape(row.name)}</em>"
    provider = f' <span class="quiet">{escape(row.second)}</span>' if row.second else ""
    cells = [
        amount(sums[f"cost_{currency}"], currency.upper(), style) + _unknown(sums["unpriced_usd_count"], style),
        _trend(sums["change"]),
        write_number(sums["requests_count"], style) + _failed(sums["failed_count"], style),
        write_number(sums["total_tokens"], style),
        amount(sums["cost_rub"], "RUB", style) if currency == "usd" else amount(sums["cost_usd"], "USD", style),
    ]
    return (
        f'<tr><th scope="row" class="name">{_linked(name, row.link)}{provider}{_share(sums["share"])}</th>'
        f"{''.join(map(_number, cells))}</tr>\n"
    )


def _share(part: Decimal | None) -> str:
    if part is None:
        return ""
    bar = f'<svg aria-hidden="true"><rect width="{share_width(part)}%" height="100%"/></svg>'
    return f'\n<span class="share">{bar} <span>{escape(share(part))}</span></span>'


def _trend(changed: Mapping[str, Decimal | None] | None) -> str:
    if not changed:
        return '<span class="quiet">—</span>'
    by = changed["cost_usd"]
    return f'<span class="quiet">{gettext("new")}</span>' if by is None else change(by)


def _unknown(calls: int, style: Style) -> str:
    return _counted(ngettext("+ %(number)s unknown", "+ %(number)s unknown", calls), calls, style)


def _failed(calls: int, style: Style) -> str:
    return _counted(ngettext("%(number)s failed", "%(number)s failed", calls), calls, style)


def _counted(words: str, calls: int, style: Style) -> str:
    return _second(words % {"number": write_number(calls, style)}) if calls else ""


@register.simple_tag
def call_rows(entries: Iterable[Mapping[str, Any]], *, show_organizations: bool) -> SafeString:
    """Of the last calls, at the moments of the current time zone."""
    style = _style()
    words = _Words(
        # Translators: a moment in the list of calls, in Django's date format
        moment=gettext("M j, H:i:s"),
        tokens=gettext(
            "%(prompt)s in (of these %(cached)s from the cache),"
            " %(completion)s out (of these %(reasoning)s for reasoning)"
        ),
        no_type=gettext("no type"),
        no_agent=gettext("no agent"),
    )
    return _joined(_call_row(entry, words, style, show_organizations) for entry in entries)


class _Words(NamedTuple):
    """Looked up once, for all rows."""

    moment: str
    tokens: str
    no_type: str
    no_agent: str


def _call_row(entry: Mapping[str, Any], words: _Words, style: Style, show_organizations: bool) -> str:
    call = entry["call"]
    moment = timezone.localtime(call.created_at)
    exact = moment.isoformat()
    when = f'<time datetime="{exact}" title="{exact}">{date_format(moment, words.moment)}</time>'
    of_tokens = words.tokens % {
        name: write_number(getattr(call, f"{name}_tokens"), style)
        for name in ("prompt", "completion", "cached", "reasoning")
    }
    names = [
        f"{_name(call.request_type, words.no_type)} {_second(_name(call.agent_id, words.no_agent))}",
        f"{escape(call.ai_model or '—')} {_second(escape(call.ai_provider or '—'))}",
    ]
    whose = [escape(entry["org"])] if show_organizations else []
    whose.append(escape(entry["who"]))
    error = f" {_second(escape(call.error_code))}" if call.error_code else ""
    return (
        f'<tr><th scope="row" class="time">{_linked(when, entry["link"])}</th>{"".join(map(_text, names))}'
        f'<td class="number" title="{of_tokens}">{write_number(call.total_tokens, style)}</td>'
        f"{_number(amount(call.cost_usd, 'USD', style))}{_number(amount(call.cost_rub, 'RUB', style))}"
        f"{''.join(map(_text, whose))}"
        f'<td><span class="status {escape(call.status)}">{escape(entry["status"])}</span>{error}</td></tr>\n'
    )


@register.simple_tag
def options(choices: Iterable[tuple[str, str]], chosen: str | None) -> SafeString:
    """Of a list to choose from: value and text of each."""
    return _joined(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(text)}</option>'
        for value, text in choices
    )


def _style() -> Style:
    return style_of(get_language())


def _joined(rows: Iterable[str]) -> SafeString:
    return SafeString("".join(rows))


def _linked(inner: str, link: str | None) -> str:
    return f'<a href="{escape(link)}">{inner}</a>' if link else inner


def _name(name: str, nothing: str) -> str:
    return escape(name) if name else f"<em>{escape(nothing)}</em>"


def _second(inner: str) -> str:
    return f'<span class="second">{inner}</span>'


def _text(inner: str) -> str:
    return f'<td class="name">{inner}</td>'


def _number(inner: str) -> str:
    return f'<td class="number">{inner}</td>'
