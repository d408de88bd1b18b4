"""Calls: every single call that matches, with the totals that the numbers of the other pages are checked against."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext
from rest_framework import serializers

from usage_billing import reports
from usage_billing.api.parameters import cursor, position
from usage_billing.pages import call_columns, call_search
from usage_billing.pages.call_columns import BY_NAME
from usage_billing.pages.calls_export import exports
from usage_billing.pages.controls import Choice
from usage_billing.pages.page import Page
from usage_billing.pages.parameters import PageSerializer
from usage_billing.reports.calls import LISTED, NEWEST_FIRST

ON_A_PAGE = 50
SORTS = [sign + name for name in reports.ORDERINGS for sign in ("-", "")]
OF_ONE_PAGE = ("cursor", "q")
"""Parameters that no link keeps: the position in one list, and a search, which goes beyond the filters."""


class ColumnsField(serializers.CharField):
    """Names of columns with commas between them; the time is always shown."""

    def to_internal_value(self, data: Any) -> Any:
        names = [name.strip() for name in super().to_internal_value(data).split(",") if name.strip()]
        if unknown := [name for name in names if name not in BY_NAME]:
            text = gettext("There is no column “%(name)s”. Known columns: %(known)s.")
            raise serializers.ValidationError(text % {"name": unknown[0][:50], "known": ", ".join(BY_NAME)})
        return names


class CallsSerializer(PageSerializer):
    sort = serializers.ChoiceField(default=NEWEST_FIRST, choices=SORTS)
    columns = ColumnsField(required=False, max_length=500)
    q = serializers.CharField(required=False, max_length=200)
    cursor = serializers.CharField(required=False, max_length=500)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if "cursor" in attrs:
            attrs["after"] = position(attrs["cursor"], attrs["sort"])
        return attrs


def context(page: Page) -> dict[str, Any] | HttpResponse:
    """The context of the template, or where the search leads. Its number of queries does not depend on the usage."""
    repeated = page.request.GET.getlist("columns")
    if len(repeated) > 1:  # as a form sends them
        return redirect(page.request.path + page.link(columns=",".join(repeated)))
    asked = page.parameters.own
    kept = tuple(pair for pair in page.parameters.pairs if pair[0] not in OF_ONE_PAGE)
    page.parameters = replace(page.parameters, pairs=kept)
    found = None
    if "q" in asked:
        answer = call_search.answer(page, asked["q"])
        if isinstance(answer, HttpResponse):
            return answer
        found = answer
    return {"search": asked.get("q"), **_listed(page, found), **_controls(page)}


def _listed(page: Page, found: call_search.Hits | None) -> dict[str, Any]:
    """Totals and one page of the calls that match, and what a search has found."""
    asked, parameters = page.parameters.own, page.parameters
    columns = call_columns.chosen(page, asked.get("columns"))
    shown = reports.calls_with_totals(
        page.scope,
        filters=parameters.filters,
        period=parameters.period,
        ordering=asked["sort"],
        limit=ON_A_PAGE,
        after=asked.get("after"),
        fields=LISTED,
    )
    by_cost = asked["sort"].endswith("cost_usd")
    next_page = shown.page.next
    return {
        "total": shown.totals,
        "unpriced_count": shown.totals[f"unpriced_{parameters.currency}_count"],
        "found_rows": call_columns.rows(page, columns, found.calls) if found and found.calls else [],
        "found_links": found.links if found else [],
        "heads": call_columns.heads(page, columns, asked["sort"]),
        "rows": call_columns.rows(page, columns, shown.page.calls),
        "not_in_order": shown.totals["unpriced_usd_count"] if by_cost else 0,
        "next_link": page.link(cursor=cursor(asked["sort"], next_page)) if next_page else None,
        "first_link": page.link() if "after" in asked else None,
        "archived_before": shown.archived_before,
    }


def _controls(page: Page) -> dict[str, Any]:
    """The choice of columns and order, and the files."""
    asked, parameters = page.parameters.own, page.parameters
    shown = {each.name for each in call_columns.chosen(page, asked.get("columns"))}
    return {
        "failed_link": page.link(status="failed"),
        "unpriced_link": page.link(unpriced=parameters.currency),
        "unpriced_usd_link": page.link(unpriced="usd"),
        "columns_offered": [(each.name, each.title, each.name in shown) for each in call_columns.offered(page)],
        "default_columns_link": page.link(columns=None) if "columns" in asked else None,
        "without_columns": parameters.hidden(("columns", "filters")),
        "sorts": [Choice(text, page.link(sort=sort), sort == asked["sort"]) for sort, text in _sorts()],
        "exports": exports(page),
    }


def _sorts() -> list[tuple[str, str]]:
    return [
        ("-created_at", gettext("Newest first")),
        ("created_at", gettext("Oldest first")),
        ("-cost_usd", gettext("Most expensive first")),
        ("cost_usd", gettext("Cheapest first")),
        ("-total_tokens", gettext("Most tokens first")),
        ("total_tokens", gettext("Fewest tokens first")),
        ("-execution_time_ms", gettext("Slowest first")),
        ("execution_time_ms", gettext("Fastest first")),
    ]
