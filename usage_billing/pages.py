"""The AI costs page: one view and one template for superadmins, owners and members; what differs is the scope."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language, gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from unfold.widgets import BASE_INPUT_CLASSES

from usage_billing import recording, reports
from usage_billing.access import Scope
from usage_billing.models import Organization, UsageRecord
from usage_billing.templatetags.amounts import places_of

PERIODS = (7, 30, 90)
"""Days that a period can have, today included."""
DEFAULT_DAYS = 30
LATEST_CALLS = 50

SIMULATOR = "simulator"
destination_sources: list[Callable[[], Mapping[str, str]]] = []
"""Each says where calls go now: provider → `SIMULATOR` or its address. The app that makes the calls adds its own."""


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return redirect("login")
    return redirect("ai-costs" if request.user.is_superuser else "usage")


@require_safe
@never_cache
def superadmin_costs(request: HttpRequest) -> HttpResponse:
    """The costs of every organisation, for superusers."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    if not request.user.is_superuser:
        return render(request, "usage_billing/forbidden.html", _frame(request, gettext("No access")), status=403)
    return _costs(request)


@require_safe
@never_cache
@login_required
def own_costs(request: HttpRequest) -> HttpResponse:
    """What an owner's organisations, or a member's own calls, cost."""
    if request.user.is_superuser:
        query = request.META["QUERY_STRING"]
        return redirect(reverse("ai-costs") + (f"?{query}" if query else ""))
    return _costs(request)


class LogInForm(AuthenticationForm):
    """Django's form in the theme's look. The theme's own form lets in nobody but staff."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["class"] = " ".join(BASE_INPUT_CLASSES)


class LogIn(LoginView):
    template_name = "usage_billing/login.html"
    form_class = LogInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | _frame(self.request, gettext("Log in"))


def _costs(request: HttpRequest) -> HttpResponse:
    """The page. Its number of queries does not depend on the data."""
    now = timezone.now()
    scope: Scope = request.scope  # type: ignore[attr-defined]  # set by ScopeMiddleware
    days, days_understood = _days_asked(request)
    today = scope.today(now)
    since = today - timedelta(days=days - 1)
    period = reports.Period(since)
    total = reports.totals(scope, period=period)[0]
    by_day = reports.history(scope, period, today)
    latest = list(reports.calls(scope).select_related("org")[:LATEST_CALLS])
    context = {
        "scope_text": _scope_text(scope),
        "no_organization": scope.is_empty,
        "show_organizations": _has_several(scope),
        "periods": PERIODS,
        "days": days,
        "days_understood": days_understood,
        "since": since,
        "today": today,
        "total": total,
        "types": _with_shares(reports.totals(scope, by=["request_type"], period=period), total["cost_usd"]),
        "by_day": by_day,
        "chart": _chart(by_day),
        "chart_options": _chart_options(by_day),
        "latest": _with_names(latest),
        "zone": scope.zone or settings.TIME_ZONE,
        "destinations": _destinations(),
        "simulator": SIMULATOR,
        "health": _health(now) if scope.everything else None,
    }
    return render(request, "usage_billing/costs.html", _frame(request, gettext("AI costs")) | context)


def _frame(request: HttpRequest, title: str) -> dict[str, Any]:
    """What the theme's base template needs. The admin's sidebar is for those whom the admin lets do everything."""
    request.current_app = admin.site.name
    frame = {**admin.site.each_context(request), "title": title}
    if not request.user.is_superuser:
        frame["is_nav_sidebar_enabled"] = False
    return frame


def _days_asked(request: HttpRequest) -> tuple[int, bool]:
    """The period's days, and whether the address asked for them in a way that we understand."""
    asked = request.GET.get("days", str(DEFAULT_DAYS))
    understood = asked in map(str, PERIODS)
    return int(asked) if understood else DEFAULT_DAYS, understood


def _scope_text(scope: Scope) -> str:
    """Whose calls the page is about."""
    if scope.everything:
        return gettext("All organisations")
    names = dict(
        Organization.objects.filter(pk__in=scope.owned_org_ids | scope.member_org_ids).values_list("pk", "name")
    )

    def listed(org_ids: Iterable[int]) -> str:
        return ", ".join(sorted(names[org_id] for org_id in org_ids if org_id in names))

    parts = []
    if scope.owned_org_ids:
        parts.append(gettext("All calls of %(names)s") % {"names": listed(scope.owned_org_ids)})
    if scope.member_org_ids:
        parts.append(gettext("Your own calls in %(names)s") % {"names": listed(scope.member_org_ids)})
    return " · ".join(parts)


def _has_several(scope: Scope) -> bool:
    return scope.everything or len(scope.owned_org_ids | scope.member_org_ids) > 1


def _with_shares(rows: Iterable[Mapping[str, Any]], total_usd: Decimal | None) -> list[dict[str, Any]]:
    """Each with its share of the known cost in per cent."""
    return [{**row, "share": 100 * (row["cost_usd"] or 0) / total_usd if total_usd else None} for row in rows]


def _chart(by_day: Iterable[Mapping[str, Any]]) -> str:
    """Chart.js data as JSON. Amounts are strings, which it reads as they are, and null where nothing is known."""
    # Translators: a day on the chart's axis, short, in Django's date format
    day_format = gettext("M j")
    rows = list(by_day)
    bars = {
        "label": "USD",
        "data": [None if row["cost_usd"] is None else format(row["cost_usd"], "f") for row in rows],
        "backgroundColor": "var(--color-primary-500)",
    }
    return json.dumps({"labels": [date_format(row["date"], day_format) for row in rows], "datasets": [bars]})


def _chart_options(by_day: Iterable[Mapping[str, Any]]) -> str:
    """Chart.js options as JSON: numbers as the page's language writes them, small ones with digits enough."""
    grey = "#767e8c"  # readable on white and on the dark background
    places = places_of(max((row["cost_usd"] or Decimal(0) for row in by_day), default=Decimal(0)))
    dollars = {"style": "currency", "currency": "USD", "minimumFractionDigits": 2, "maximumFractionDigits": places}
    options = {
        "locale": get_language(),
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "datasets": {"bar": {"borderRadius": 3, "maxBarThickness": 28}},
        "plugins": {"legend": {"display": False}},
        "scales": {
            "x": {"grid": {"display": False}, "ticks": {"color": grey, "maxRotation": 0, "autoSkipPadding": 16}},
            "y": {
                "beginAtZero": True,
                "border": {"display": False},
                "ticks": {"color": grey, "maxTicksLimit": 5, "format": dollars},
            },
        },
    }
    return json.dumps(options)


def _with_names(calls: list[UsageRecord]) -> list[tuple[UsageRecord, str]]:
    """Each call with the name of who made it. A record outlives its user, so one that is gone is shown by number."""
    users = get_user_model()
    ids = {call.user_id for call in calls if call.user_id is not None}
    names = dict(users._default_manager.filter(pk__in=ids).values_list("pk", users.USERNAME_FIELD))
    return [(call, _name(call.user_id, names)) for call in calls]


def _name(user_id: int | None, names: Mapping[int, str]) -> str:
    return gettext("system") if user_id is None else names.get(user_id, f"#{user_id}")


def _destinations() -> dict[str, str]:
    """Provider → `SIMULATOR` or the host, without what an address can carry besides: a password, a key."""
    addresses = {provider: address for source in destination_sources for provider, address in source().items()}
    return {
        provider: address if address == SIMULATOR else urlsplit(address).netloc.rpartition("@")[2]
        for provider, address in addresses.items()
    }


def _health(now: datetime) -> dict[str, Any]:
    """The recorder's state in the words of the page; `waiting_since` is the moment of the oldest event that waits."""
    health = recording.health()
    backlog = health.backlog
    oldest_at = backlog.oldest_at if backlog else None
    return {
        "backlog": backlog,
        "waiting_since": datetime.fromtimestamp(oldest_at, UTC) if oldest_at is not None else None,
        "now": now,
        "lost": health.lost,
        "error": health.error,
        "is_well": backlog is not None and not (health.error or health.lost or backlog.set_aside),
    }
