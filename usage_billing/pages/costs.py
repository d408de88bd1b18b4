"""The AI costs page: one view and one template for superadmins, owners and members, who differ by scope."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from usage_billing import reports
from usage_billing.api import export_slots
from usage_billing.models import UsageRecord
from usage_billing.models.daily_usage import MEASURES
from usage_billing.pages import chart, csv_file, dimensions, filter_form, hooks, insights, names, recorder_health, shell
from usage_billing.pages.dimensions import BY_NAME, CONTENT, MODEL, ORG, TYPE, USER, Dimension
from usage_billing.pages.names import Names
from usage_billing.pages.parameters import CURRENCIES, PageParameters, parse, without_empty
from usage_billing.reports import Breakdown, Period, Series
from usage_billing.reports.totals import COST_MEASURES, NO_CALLS, Totals, without_unknown_amounts
from usage_billing.tenancy.scope import Scope
from usage_billing.tenancy.views import scoped_view

TABLE_MEASURES = (*COST_MEASURES, "total_tokens", "failed_count")
"""The measures that tables show. The breakdown by model has all measures, for the model comparison."""
LATEST_CALLS = 50
MOST_EXPENSIVE_CALLS = 5
ROWS = 8
"""Rows of a breakdown, unless the person asks for all."""
ALL_ROWS = 200
WITH_MANY_ROWS = (ORG, USER)
"""Dimensions with many more rows than the page shows: only the shown ones are compared with the previous period."""
MOST_EXPENSIVE_WORKFLOWS = 10
WORKFLOWS_UP_TO_CALLS = 1_000
"""With more calls in the period, workflows and content are added up only on request: it takes too long."""

_STATUSES = dict(UsageRecord.Status.choices)

DAILY_UP_TO, WEEKLY_UP_TO = 100, 731
"""The longest periods, in days, whose chart is by day and by week. Longer ones are by month."""


@require_safe
@never_cache
@login_required
@scoped_view
def superadmin_costs(request: HttpRequest) -> HttpResponse:
    """The costs of every organisation, for superusers."""
    if not request.user.is_superuser:
        return shell.no_access(request)
    return _answer(request)


@require_safe
@never_cache
@login_required
@scoped_view
def own_costs(request: HttpRequest) -> HttpResponse:
    """The costs of an owner's organisations, or of a member's own calls."""
    if request.user.is_superuser:
        query = request.META["QUERY_STRING"]
        return redirect(reverse("usage_billing:ai-costs") + (f"?{query}" if query else ""))
    return _answer(request)


def _answer(request: HttpRequest) -> HttpResponse:
    if (query := without_empty(request.GET)) is not None:
        return redirect(request.path + (f"?{query}" if query else ""))
    now = timezone.now()
    scope: Scope = request.scope  # type: ignore[attr-defined]  # set by ScopeMiddleware
    parameters = parse(request.GET, scope.today(now))
    if request.GET.get("format") == "csv":
        try:
            with closing(export_slots.take(request.user)):
                return csv_file.answer(page_context(scope, parameters, now))
        except export_slots.TooManyExportsError as full:
            return shell.too_many_exports(request, str(full))
    return render(request, "usage_billing/costs.html", page_context(scope, parameters, now))


def page_context(scope: Scope, parameters: PageParameters, now: datetime) -> dict[str, Any]:
    """The context of the template. Its number of queries does not depend on the amount of usage."""
    today = scope.today(now)
    period, filters = parameters.period, parameters.filters
    previous = period.before(today)
    step = _step(period, today)
    shown = dimensions.shown(scope, filters)
    stacked_by = BY_NAME[parameters.by]

    whole = reports.period_over_period(scope, period, previous, filters=filters)
    breakdowns = {
        dimension: _breakdown(scope, dimension, parameters, today, whole)
        for dimension in dict.fromkeys((*shown, stacked_by))
    }
    total, models = breakdowns[TYPE].total, breakdowns[MODEL].items
    days = reports.time_series(scope, period, today, step=step, filters=filters, measures=TABLE_MEASURES)
    series = _stacked_series(scope, parameters, stacked_by, breakdowns[stacked_by], days, step)
    latest = reports.calls(scope, filters=filters, period=period)[:LATEST_CALLS]
    most_expensive = reports.most_expensive(scope, MOST_EXPENSIVE_CALLS, filters=filters, period=period)
    failures = reports.failures(scope, period, filters=filters)
    workflows = _workflows(scope, parameters, total["requests_count"])
    options = filter_form.options(scope, shown, parameters)
    known = Names(
        orgs=names.of_organizations(scope),
        users=reports.user_names(_users_in(latest, most_expensive, breakdowns.get(USER), options.get(USER, ()))),
        contents=names.of_contents(scope, _contents_in(workflows, latest)),
    )
    panels = [_panel(dimension, breakdowns[dimension], parameters, known) for dimension in shown]
    rows = {panel.dimension: [(row.key, row.name) for row in panel.rows] for panel in panels}
    link = record_links(for_superadmin=scope.everything)
    return {
        "title": gettext("AI costs"),
        "parameters": parameters,
        "scope_text": shell.scope_text(scope, known.orgs),
        "is_superadmin": scope.everything,
        "no_organization": scope.is_empty,
        "show_organizations": scope.everything or len(scope.org_ids) > 1,
        "since": period.since,
        "last": period.last_day(today),
        "today": today,
        "previous": previous,
        "previous_last": previous.last_day(today) if previous else None,
        "periods": filter_form.periods(parameters),
        "choices": filter_form.choices(scope, parameters, rows, options, known),
        "carried": parameters.hidden([*filter_form.FIELDS, "ai_provider"]),
        "carried_with_dates": parameters.hidden(["days", "period_days", "period", "from", "to"]),
        "chips": filter_form.chips(parameters, known),
        "total": total,
        "cards": _cards(total, days),
        "forecast": reports.forecast(scope, today, filters=filters),
        "month_ends": _last_of_month(today),
        "archived_before": reports.archived_before(period),
        "failures": insights.failure_reasons(failures, for_superadmin=scope.everything),
        "without_rate": total["unpriced_rub_count"] - total["unpriced_usd_count"],
        "anomalies": _anomalies(days, parameters) if step == "day" else [],
        "cache": insights.cache_use(models, today),
        "comparison": insights.comparison(models, parameters.compare_model, today),
        "health": recorder_health.recorder_health(now, today, failures) if scope.everything else None,
        "step": step,
        "panels": panels,
        **_chart(parameters, stacked_by, series, days, step, known),
        "stack_links": [(BY_NAME[each.name], parameters.link(by=each.name)) for each in shown],
        "stacked_by": stacked_by,
        "currency_links": [(each, parameters.link(currency=each)) for each in CURRENCIES],
        "workflows": [
            _workflow_panel(dimension, rows, parameters, known) for dimension, rows in workflows.items() if rows
        ],
        "workflows_link": None if workflows or not total["requests_count"] else parameters.link(workflows="all"),
        "most_expensive": [_call(call, known, link) for call in most_expensive],
        "latest": [_call(call, known, link) for call in latest],
        "carried_compare_model": parameters.hidden(["compare_model"]),
        "csv_link": parameters.link(format="csv"),
        "all_rows_link": parameters.link(rows="all") if any(panel.hidden for panel in panels) else None,
        "few_rows_link": parameters.link(rows=None) if parameters.all_rows else None,
        "zone": scope.zone or settings.TIME_ZONE,
        "destinations": hooks.destinations(),
        "simulator": hooks.SIMULATOR,
    }


# ── Breakdowns ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Row:
    """A row of a breakdown. `link` narrows the page to it; None where the page is narrowed to it already."""

    key: tuple[Any, ...]
    name: str
    is_named: bool
    link: str | None
    sums: Totals
    second: str = ""


@dataclass(frozen=True)
class Panel:
    """A table of a breakdown. `other`: the totals of all rows that are not shown, `hidden`: how many are known."""

    dimension: Dimension
    rows: list[Row]
    other: Totals | None
    hidden: int


def _breakdown(
    scope: Scope,
    dimension: Dimension,
    parameters: PageParameters,
    today: date,
    whole: tuple[Totals, Totals | None],
) -> Breakdown:
    return reports.breakdown(
        scope,
        dimension.columns,
        parameters.period,
        today,
        filters=parameters.filters,
        limit=ALL_ROWS,
        whole=whole,
        measures=MEASURES if dimension is MODEL else TABLE_MEASURES,
        compare=ROWS + 1 if dimension in WITH_MANY_ROWS and not parameters.all_rows else None,
    )


def _panel(dimension: Dimension, found: Breakdown, parameters: PageParameters, known: Names) -> Panel:
    most = ALL_ROWS if parameters.all_rows else ROWS
    # Show a single row more rather than “all others” for it alone.
    cut = len(found.items) if len(found.items) <= most + 1 else most
    hidden = found.items[cut:]
    rows = [_row(dimension, item, parameters, known) for item in found.items[:cut]]
    return Panel(dimension, rows, _together(hidden, found.other), len(hidden))


def _row(dimension: Dimension, item: Totals, parameters: PageParameters, known: Names) -> Row:
    key = dimension.key(item)
    return Row(
        key=key,
        name=known.of(dimension, key),
        is_named=bool(key[-1]),
        link=None if dimension.is_narrowed(parameters.filters) else parameters.link(dimension.narrowing(key)),
        sums=item,
        second=str(item["ai_provider"]) if dimension is MODEL else "",
    )


def _together(hidden: Sequence[Totals], other: Totals | None) -> Totals | None:
    """The totals of the rows that are not shown."""
    rows = [*hidden, *([other] if other else [])]
    if not rows:
        return None
    return without_unknown_amounts(
        {name: sum((row[name] or 0 for row in rows), start=NO_CALLS[name]) for name in TABLE_MEASURES}
    )


def _workflows(scope: Scope, parameters: PageParameters, calls: int) -> dict[Dimension, list[Totals]]:
    """The most expensive workflows and pieces of content; empty if that takes long and was not asked for."""
    if not calls or (calls > WORKFLOWS_UP_TO_CALLS and not parameters.all_workflows):
        return {}
    return {
        dimension: reports.workflow_totals(
            scope, dimension.name, parameters.period, filters=parameters.filters, limit=MOST_EXPENSIVE_WORKFLOWS
        )
        for dimension in dimensions.WORKFLOWS
    }


def _workflow_panel(dimension: Dimension, rows: list[Totals], parameters: PageParameters, known: Names) -> Panel:
    shown = [_row(dimension, row | {"share": None, "change": None}, parameters, known) for row in rows]
    return Panel(dimension, shown, None, 0)


# ── Cards and chart ──────────────────────────────────────────────────────────────────────────────────────────────


def _cards(total: Totals, days: Sequence[Totals]) -> list[dict[str, Any]]:
    """Requests, tokens, USD and RUB: each with its change and its curve."""
    change = total["change"] or {}
    columns = ("requests_count", "total_tokens", "cost_usd", "cost_rub")
    return [
        {
            "column": column,
            "value": total[column],
            "change": change.get(column),
            "before": (total["before"] or {}).get(column),
            "curve": chart.sparkline([row[column] for row in days]),
            "unpriced": total[f"unpriced_{column[5:]}_count"] if column.startswith("cost_") else 0,
        }
        for column in columns
    ]


def _stacked_series(
    scope: Scope,
    parameters: PageParameters,
    dimension: Dimension,
    found: Breakdown,
    days: Sequence[Totals],
    step: str,
) -> list[Series]:
    keys = [dimension.key(item) for item in found.items[: chart.LAYERS]]
    if len(found.items) == chart.LAYERS + 1:
        keys.append(dimension.key(found.items[-1]))
    return reports.stacked_series(
        scope, dimension.columns, keys, days, parameters.period, step=step, filters=parameters.filters
    )


def _chart(
    parameters: PageParameters,
    dimension: Dimension,
    series: Sequence[Series],
    days: Sequence[Totals],
    step: str,
    known: Names,
) -> dict[str, Any]:
    """The chart, its legend and its table; a link on each day narrows the page to it."""
    column = f"cost_{parameters.currency}"
    legend = [
        {
            "name": gettext("all others") if each.key is None else known.of(dimension, each.key),
            "link": None
            if each.key is None or dimension.is_narrowed(parameters.filters)
            else parameters.link(dimension.narrowing(each.key)),
            "layer": chart.layer(each, number),
            "sum": _sum(each.rows, column),
        }
        for number, each in enumerate(series)
    ]
    texts = [str(each["name"]) for each in legend]
    return {
        # Drawn when the template asks for it: the CSV file does not.
        "chart": SimpleLazyObject(lambda: chart.draw(series, texts, days, parameters.currency)),
        "legend": legend,
        "days": [
            {
                "sums": row,
                "amounts": [each.rows[number][column] for each in series],
                "link": _day_link(row["date"], parameters) if step == "day" else None,
            }
            for number, row in enumerate(days)
        ],
    }


def _sum(rows: Sequence[Totals], column: str) -> Decimal | None:
    """None if there were calls and none of their costs is known."""
    known_ones = [row[column] for row in rows if row["requests_count"] and row[column] is not None]
    return sum(known_ones, start=Decimal(0)) if known_ones or not any(row["requests_count"] for row in rows) else None


def _day_link(day: date, parameters: PageParameters) -> str:
    return parameters.link(parameters.without_period() | {"from": day.isoformat(), "to": day.isoformat()})


def _anomalies(days: Sequence[Totals], parameters: PageParameters) -> list[tuple[Any, str]]:
    return [(each, _day_link(each.day, parameters)) for each in reports.anomalies(days)]


def _step(period: Period, today: date) -> str:
    length = (period.last_day(today) - (period.since or today)).days + 1
    return "day" if length <= DAILY_UP_TO else "week" if length <= WEEKLY_UP_TO else "month"


def _last_of_month(today: date) -> date:
    return (today.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


# ── Single calls ─────────────────────────────────────────────────────────────────────────────────────────────────


def _call(call: UsageRecord, known: Names, link: Callable[[int], str]) -> dict[str, Any]:
    return {
        "call": call,
        "org": known.org(call.org_id),
        "who": known.user(call.user_id),
        "status": str(_STATUSES.get(call.status, call.status)),
        "link": link(call.pk),
    }


def record_links(*, for_superadmin: bool) -> Callable[[int], str]:
    """A function from a call's id to the address of its record: in the admin for superadmins, if it is installed.

    Django resolves the address once: it takes long over one, and a page has dozens.
    """
    try:
        view = "admin:usage_billing_usagerecord_change" if for_superadmin else "usage_billing:call"
        before, _, after = reverse(view, args=[0]).rpartition("0")
    except NoReverseMatch:
        return record_links(for_superadmin=False)
    return lambda id_: f"{before}{id_}{after}"


def _users_in(
    latest: Iterable[UsageRecord],
    most_expensive: Iterable[UsageRecord],
    users: Breakdown | None,
    options: Iterable[tuple[Any, ...]],
) -> set[int]:
    listed = {item["user_id"] for item in users.items} if users else set()
    called = {call.user_id for calls in (latest, most_expensive) for call in calls if call.user_id}
    return listed | called | {key[0] for key in options}


def _contents_in(workflows: Mapping[Dimension, Sequence[Totals]], latest: Iterable[UsageRecord]) -> set[str]:
    return {row["content_id"] for row in workflows.get(CONTENT, ())} | {
        call.content_id for call in latest if call.content_id
    }
