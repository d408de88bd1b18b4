"""The AI costs page: one view and one template for superadmins, owners and members; what differs is the scope."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from usage_billing import reports
from usage_billing.api import export_slots
from usage_billing.models import UsageRecord
from usage_billing.models.daily_usage import MEASURES
from usage_billing.pages import (
    chart,
    csv_file,
    dimensions,
    hooks,
    insights,
    names,
    recorder_health,
    shell,
)
from usage_billing.pages.dimensions import (
    AGENT,
    BY_NAME,
    CONTENT,
    MODEL,
    ORG,
    TYPE,
    USER,
    WORKFLOW,
    Dimension,
)
from usage_billing.pages.names import Names
from usage_billing.pages.parameters import CURRENCIES, PERIODS, PageParameters, asked, tidied
from usage_billing.reports import Breakdown, FailureGroup, Later, ListedCall, Period, Series
from usage_billing.reports.totals import NO_CALLS, OF_COSTS, Totals, known
from usage_billing.tenancy.scope import Scope
from usage_billing.tenancy.views import scoped_view

SHOWN = (*OF_COSTS, "total_tokens", "failed_count")
"""The measures that tables show; of models all are wanted, for what the same tokens would have cost elsewhere."""
LATEST_CALLS = 50
DEAREST_CALLS = 5
ROWS = 8
"""Of a breakdown, unless all are asked for."""
OF_MANY = (ORG, USER)
"""Dimensions of many rows, of which few are shown: those alone are compared with the period before."""
ALL_ROWS = 200
DEAREST_WORK = 10
WORK_IS_QUICK_UP_TO = 1_000
"""Calls in a period. Beyond, workflows and content are added up from the calls only when somebody asks for them."""

_STATUSES = dict(UsageRecord.Status.choices)

DAILY_UP_TO, WEEKLY_UP_TO = 100, 731
"""Days of a period that is drawn day by day; week by week; longer ones month by month."""


@require_safe
@never_cache
@scoped_view
def superadmin_costs(request: HttpRequest) -> HttpResponse:
    """The costs of every organisation, for superusers."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    if not request.user.is_superuser:
        return shell.no_access(request)
    return _answer(request)


@require_safe
@never_cache
@login_required
@scoped_view
def own_costs(request: HttpRequest) -> HttpResponse:
    """What an owner's organisations, or a member's own calls, cost."""
    if request.user.is_superuser:
        query = request.META["QUERY_STRING"]
        return redirect(reverse("ai-costs") + (f"?{query}" if query else ""))
    return _answer(request)


def _answer(request: HttpRequest) -> HttpResponse:
    if (query := tidied(request.GET)) is not None:
        return redirect(request.path + (f"?{query}" if query else ""))
    now = timezone.now()
    scope: Scope = request.scope  # type: ignore[attr-defined]  # set by ScopeMiddleware
    question = asked(request.GET, scope.today(now))
    if request.GET.get("format") == "csv":
        try:
            with closing(export_slots.take(request.user)):
                return csv_file.answer(_page(scope, question, now))
        except export_slots.TooManyExportsError as full:
            return shell.too_many_exports(request, str(full))
    return render(request, "usage_billing/costs.html", _page(scope, question, now))


# ── Where does it go ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Row:
    """`link` narrows the page to this row; None where it is narrowed to it already."""

    name: str
    is_named: bool
    link: str | None
    sums: Totals
    second: str = ""


@dataclass(frozen=True)
class Panel:
    dimension: Dimension
    rows: list[Row]
    other: Totals | None
    hidden: int


@dataclass(frozen=True)
class Choice:
    """A field of the filter form: (value, name) of what can be chosen, and what is."""

    name: str
    label: Any
    options: list[tuple[str, str]]
    chosen: str | None


@dataclass(frozen=True)
class Chip:
    label: Any
    value: str
    link: str


def _page(scope: Scope, question: PageParameters, now: datetime) -> dict[str, Any]:
    """All that the template shows. Its number of queries does not depend on the data."""
    with reports.together():
        return _context(scope, question, now)


def _context(scope: Scope, question: PageParameters, now: datetime) -> dict[str, Any]:
    """Asked in two rounds, and a little more: the database is at work while the page is made of its answers."""
    today = scope.today(now)
    period, filters = question.period, question.filters
    previous = period.before(today)
    step = _step(period, today)
    shown = dimensions.shown(scope, filters)
    stacked_by = BY_NAME[question.by]

    whole = reports.compared.ask(scope, period, previous, filters=filters)

    def broken_down_by(dimension: Dimension) -> Later[Breakdown]:
        return reports.breakdown.ask(
            scope,
            dimension.columns,
            period,
            today,
            filters=filters,
            limit=ALL_ROWS,
            whole=whole,
            measures=MEASURES if dimension is MODEL else SHOWN,
            compare=ROWS + 1 if dimension in OF_MANY and not question.all_rows else None,
        )

    wanted = dict.fromkeys((*shown, stacked_by))
    broken_down = {dimension: broken_down_by(dimension) for dimension in wanted if dimension not in OF_MANY}
    by_day = reports.history.ask(scope, period, today, step=step, filters=filters, measures=SHOWN)
    costliest = reports.most_expensive.ask(scope, DEAREST_CALLS, filters=filters, period=period)
    narrowed = {
        dimension: _options(scope, dimension, question)
        for dimension in (TYPE, MODEL, AGENT, USER)
        if dimension.is_narrowed(filters) and dimension in (*shown, USER)
    }
    month = reports.forecast.ask(scope, today, filters=filters)
    orgs = names.of_organizations(scope)
    archived_before = reports.archived_before.ask(period)
    newest_rate = recorder_health.newest_rate() if scope.everything else None

    # The first answer to be read is awaited with all that was asked. What takes longest, and what needs an answer, is
    # asked then; the database works on it while the figures are made.
    days = by_day()
    lists = _Lists(scope, question, days, is_archived=archived_before() is not None)
    newest = lists.newest()
    reasons = lists.failures()
    broken_down |= {dimension: broken_down_by(dimension) for dimension in wanted if dimension in OF_MANY}
    stack = _stacked(scope, question, stacked_by, broken_down[stacked_by](), days, step)
    total, models = broken_down[TYPE]().total, broken_down[MODEL]().items
    work = _work(scope, question, total["requests_count"])
    failures = reasons()
    figures = {
        "total": total,
        "cards": _cards(total, days),
        "forecast": month(),
        "month_ends": _last_of_month(today),
        "archived_before": archived_before(),
        "failures": insights.told(failures, for_superadmin=scope.everything),
        "without_rate": total["unpriced_rub_count"] - total["unpriced_usd_count"],
        "anomalies": _anomalies(days, question) if step == "day" else [],
        "cache": insights.cache_use(models, today),
        "comparison": insights.comparison(models, question.instead, today),
        "health": recorder_health.recorder_health(now, today, newest_rate(), failures) if newest_rate else None,
    }
    day_links = [_day_link(row["date"], question) if step == "day" else None for row in days]

    latest, most_expensive = newest(), costliest()
    options = {dimension: answer() for dimension, answer in narrowed.items()}
    breakdowns = {dimension: answer() for dimension, answer in broken_down.items()}
    most_expensive_work = {dimension: answer() for dimension, answer in work.items()}
    users = names.of_users(_users_in(latest, most_expensive, breakdowns.get(USER), options.get(USER, ())))
    contents = names.of_contents(scope, _contents_in(most_expensive_work, latest))
    known = Names(orgs=orgs(), users=users(), contents=contents)
    panels = [_panel(dimension, breakdowns[dimension], question, known) for dimension in shown]
    link = record_links(for_superadmin=scope.everything)
    return {
        "title": gettext("AI costs"),
        "asked": question,
        "scope_text": shell.scope_text(scope, known.orgs),
        "is_superadmin": scope.everything,
        "no_organization": scope.is_empty,
        "show_organizations": scope.everything or len(scope.org_ids) > 1,
        "since": period.since,
        "last": period.last(today),
        "today": today,
        "previous": previous,
        "previous_last": previous.last(today) if previous else None,
        "periods": _periods(question),
        "choices": _choices(scope, question, panels, options, known),
        "carried": question.hidden([*_CHOSEN, "ai_provider"]),
        "carried_with_dates": question.hidden(["days", "period_days", "period", "from", "to"]),
        "chips": _chips(question, known),
        **figures,
        "step": step,
        "panels": panels,
        **_stack(question, stacked_by, stack(), days, day_links, known),
        "stack_links": [(BY_NAME[each.name], question.link(by=each.name)) for each in shown],
        "stacked_by": stacked_by,
        "currency_links": [(each, question.link(currency=each)) for each in CURRENCIES],
        "work": [
            _work_panel(dimension, rows, question, known) for dimension, rows in most_expensive_work.items() if rows
        ],
        "work_link": None if work or not total["requests_count"] else question.link(work="all"),
        "most_expensive": [_call(call, known, link) for call in most_expensive],
        "latest": [_call(call, known, link) for call in latest],
        "carried_instead": question.hidden(["instead"]),
        "csv_link": question.link(format="csv"),
        "all_rows_link": question.link(rows="all") if any(panel.hidden for panel in panels) else None,
        "few_rows_link": question.link(rows=None) if question.all_rows else None,
        "zone": scope.zone or settings.TIME_ZONE,
        "destinations": hooks.destinations(),
        "simulator": hooks.SIMULATOR,
    }


def _panel(dimension: Dimension, found: Breakdown, question: PageParameters, known: Names) -> Panel:
    most = ALL_ROWS if question.all_rows else ROWS
    # A single row too many is shown rather than summed up.
    cut = len(found.items) if len(found.items) <= most + 1 else most
    rows = [_row(dimension, item, question, known) for item in found.items[:cut]]
    hidden = found.items[cut:]
    return Panel(dimension, rows, _together(hidden, found.other), len(hidden))


def _row(dimension: Dimension, item: Totals, question: PageParameters, known: Names) -> Row:
    key = dimension.key(item)
    return Row(
        name=known.of(dimension, key),
        is_named=bool(key[-1]),
        link=None if dimension.is_narrowed(question.filters) else question.link(dimension.narrowing(key)),
        sums=item,
        second=str(item["ai_provider"]) if dimension is MODEL else "",
    )


def _together(hidden: Sequence[Totals], other: Totals | None) -> Totals | None:
    """The rows that are not shown, as one."""
    rows = [*hidden, *([other] if other else [])]
    if not rows:
        return None
    return known({name: sum((row[name] or 0 for row in rows), start=NO_CALLS[name]) for name in SHOWN})


@dataclass(frozen=True)
class _Lists:
    """The lists of newest calls: sought only on the days that have such calls, as the history, `days`, tells.

    Calls that are archived are in the totals and in no list: where there are some, on all days.
    """

    scope: Scope
    question: PageParameters
    days: Sequence[Totals]
    is_archived: bool

    def newest(self) -> Later[list[ListedCall]]:
        recent = self._recent(lambda day: int(day["requests_count"]), LATEST_CALLS)
        period, filters = self.question.period, self.question.filters
        if recent is None:
            return list
        return reports.newest.ask(self.scope, LATEST_CALLS, filters=filters, period=period, recent=recent)

    def failures(self) -> Later[list[FailureGroup]]:
        recent = self._recent(lambda day: max(day["failed_count"], day["unpriced_usd_count"]), reports.LOOKED_AT)
        period, filters = self.question.period, self.question.filters
        return list if recent is None else reports.failures.ask(self.scope, period, filters=filters, recent=recent)

    def _recent(self, count: Callable[[Totals], int], calls: int) -> Period | None:
        period = self.question.period
        return period if self.is_archived else reports.newest_days(self.days, period, count, calls)


def _work(scope: Scope, question: PageParameters, calls: int) -> dict[Dimension, Later[list[Totals]]]:
    """The dearest workflows and pieces of content; nothing yet where adding them up takes long and nobody asked."""
    if not calls or (calls > WORK_IS_QUICK_UP_TO and not question.all_work):
        return {}
    period, filters = question.period, question.filters
    return {
        dimension: reports.work.ask(scope, dimension.name, period, filters=filters, limit=DEAREST_WORK)
        for dimension in dimensions.OF_WORK
    }


def _work_panel(dimension: Dimension, rows: list[Totals], question: PageParameters, known: Names) -> Panel:
    return Panel(
        dimension, [_row(dimension, row | {"share": None, "change": None}, question, known) for row in rows], None, 0
    )


# ── Periods and filters ──────────────────────────────────────────────────────────────────────────────────────────

_CHOSEN = ("org", "user", "agent_id", "ai_model", "request_type")
_LABELS = {
    "org": ORG.one,
    "user": USER.one,
    "agent_id": AGENT.one,
    "ai_provider": _("Provider"),
    "ai_model": MODEL.one,
    "request_type": TYPE.one,
    "workflow_id": WORKFLOW.one,
    "content_id": CONTENT.one,
    "status": _("Status"),
}


def _periods(question: PageParameters) -> list[tuple[Any, str, bool]]:
    """(text, link, whether it is what is shown) of each period to choose."""
    given = question.given
    is_default = not any(name in given for name in question.without_period())
    offered: list[tuple[Any, dict[str, str], bool]] = [
        (
            ngettext("%(days)s day", "%(days)s days", days) % {"days": days},
            {"days": str(days)},
            "to" not in given and (given.get("days") == str(days) or (is_default and days == PERIODS[1])),
        )
        for days in PERIODS
    ]
    offered += [
        (text, {"period": name}, given.get("period") == name)
        for name, text in (("this-month", gettext("This month")), ("last-month", gettext("Last month")))
    ]
    return [(text, question.link(question.without_period() | change), now) for text, change, now in offered]


def _options(scope: Scope, dimension: Dimension, question: PageParameters) -> Later[list[tuple[Any, ...]]]:
    """The keys that the page could be narrowed to instead of the one that it is. One query."""
    others = {name: value for name, value in question.filters.items() if name not in dimension.columns}
    rows = reports.totals.ask(
        scope, by=dimension.columns, filters=others, period=question.period, limit=ALL_ROWS, measures=OF_COSTS
    )
    return lambda: [dimension.key(row) for row in rows()]


def _choices(
    scope: Scope,
    question: PageParameters,
    panels: Sequence[Panel],
    options: Mapping[Dimension, Sequence[tuple[Any, ...]]],
    known: Names,
) -> list[Choice]:
    """The fields of the filter form, each with all that there is to choose."""
    of_panels = {panel.dimension: panel for panel in panels}
    fields = []
    for dimension in (ORG, USER, AGENT, MODEL, TYPE):
        name = dimension.parameters[-1]
        if dimension is ORG:
            if not (scope.everything or len(scope.org_ids) > 1):
                continue
            found = [(str(id_), org) for id_, org in known.orgs.items()]
        elif dimension in options:
            found = [(str(key[-1]), known.of(dimension, key)) for key in options[dimension]]
        elif dimension in of_panels:
            rows = of_panels[dimension].rows
            found = [(str(dimension.key(row.sums)[-1]), row.name) for row in rows]
        else:
            continue
        chosen = question.given.get(name)
        if chosen is not None and chosen not in dict(found):
            found.append((chosen, _chip_text(name, chosen, known)))
        fields.append(Choice(name, _LABELS[name], sorted(dict(found).items(), key=lambda pair: pair[1]), chosen))
    return fields


def _chips(question: PageParameters, known: Names) -> list[Chip]:
    """The filters that hold, each with the address without it."""
    return [
        Chip(_LABELS[name], _chip_text(name, question.given[name], known), question.link({name: None}))
        for name in _LABELS
        if name in question.given
    ]


def _chip_text(name: str, value: str, known: Names) -> str:
    match name:
        case "org":
            return known.org(int(value))
        case "user":
            return known.user(int(value))
        case "content_id":
            return known.contents.get(value, value)
        case "agent_id":
            return value or str(AGENT.nothing)
        case "request_type":
            return value or str(TYPE.nothing)
        case "status":
            return str(UsageRecord.Status(value).label)
    return value or "—"


# ── How much ─────────────────────────────────────────────────────────────────────────────────────────────────────


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


def _stacked(
    scope: Scope, question: PageParameters, dimension: Dimension, found: Breakdown, days: Sequence[Totals], step: str
) -> Later[list[Series]]:
    keys = [dimension.key(item) for item in found.items[: chart.LAYERS]]
    if len(found.items) == chart.LAYERS + 1:
        keys.append(dimension.key(found.items[-1]))
    return reports.stacked.ask(
        scope, dimension.columns, keys, days, question.period, step=step, filters=question.filters
    )


def _stack(
    question: PageParameters,
    dimension: Dimension,
    series: Sequence[Series],
    days: Sequence[Totals],
    day_links: Sequence[str | None],
    known: Names,
) -> dict[str, Any]:
    """The chart, its legend and its table, whose days narrow the page to themselves."""
    column = f"cost_{question.currency}"
    legend = [
        {
            "name": gettext("all others") if each.key is None else known.of(dimension, each.key),
            "link": None
            if each.key is None or dimension.is_narrowed(question.filters)
            else question.link(dimension.narrowing(each.key)),
            "layer": chart.layer(each, number),
            "sum": _sum(each.rows, column),
        }
        for number, each in enumerate(series)
    ]
    texts = [str(each["name"]) for each in legend]
    return {
        # Drawn when the page is rendered; a file of the page's figures needs no picture.
        "chart": SimpleLazyObject(lambda: chart.draw(series, texts, days, question.currency)),
        "legend": legend,
        "days": [
            {
                "sums": row,
                "amounts": [each.rows[number][column] for each in series],
                "link": link,
            }
            for number, (row, link) in enumerate(zip(days, day_links, strict=True))
        ],
    }


def _sum(rows: Sequence[Totals], column: str) -> Decimal | None:
    """None where there were calls and no cost of theirs is known."""
    known_ones = [row[column] for row in rows if row["requests_count"] and row[column] is not None]
    return sum(known_ones, start=Decimal(0)) if known_ones or not any(row["requests_count"] for row in rows) else None


def _day_link(day: date, question: PageParameters) -> str:
    return question.link(question.without_period() | {"from": day.isoformat(), "to": day.isoformat()})


def _anomalies(days: Sequence[Totals], question: PageParameters) -> list[tuple[Any, str]]:
    return [(each, _day_link(each.day, question)) for each in reports.anomalies(days)]


def _step(period: Period, today: date) -> str:
    length = (period.last(today) - (period.since or today)).days + 1
    return "day" if length <= DAILY_UP_TO else "week" if length <= WEEKLY_UP_TO else "month"


def _last_of_month(today: date) -> date:
    return (today.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


# ── Single calls ─────────────────────────────────────────────────────────────────────────────────────────────────


def _call(call: ListedCall, known: Names, link: Callable[[int], str]) -> dict[str, Any]:
    return {
        "call": call,
        "org": known.org(call.org_id),
        "who": known.user(call.user_id),
        "status": str(_STATUSES.get(call.status, call.status)),
        "link": link(call.id),
    }


def record_links(*, for_superadmin: bool) -> Callable[[int], str]:
    """Where a call's record can be looked at, by its id. Django takes long over an address; a page has dozens."""
    view = "admin:usage_billing_usagerecord_change" if for_superadmin else "usage-record"
    before, _, after = reverse(view, args=[0]).rpartition("0")
    return lambda id_: f"{before}{id_}{after}"


def _users_in(
    latest: Iterable[ListedCall],
    most_expensive: Iterable[ListedCall],
    users: Breakdown | None,
    options: Iterable[tuple[Any, ...]],
) -> set[int]:
    listed = {item["user_id"] for item in users.items} if users else set()
    called = {call.user_id for calls in (latest, most_expensive) for call in calls if call.user_id}
    return listed | called | {key[0] for key in options}


def _contents_in(work: Mapping[Dimension, Sequence[Totals]], latest: Iterable[ListedCall]) -> set[str]:
    return {row["content_id"] for row in work.get(CONTENT, ())} | {
        call.content_id for call in latest if call.content_id
    }
