"""What needs somebody's action: failed and unpriced calls, and days that cost far more than usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import get_language, gettext

from usage_billing import reports
from usage_billing.pages import insights
from usage_billing.pages.page import Page
from usage_billing.reports.totals import Totals
from usage_billing.templatetags.amounts import style_of, write_amount, write_number, written_day

MOST = 4


@dataclass(frozen=True)
class Item:
    """kind: `failed`, `unpriced` or `anomaly`. badge: how many calls, or how much. link: to these calls."""

    kind: str
    badge: str
    title: str
    text: str
    link: str


def items(page: Page, days: Sequence[Totals]) -> list[Item]:
    """The most important ones; `days` are the totals by day, for anomalies. One query."""
    found = reports.failures(page.scope, page.parameters.period, filters=page.parameters.filters)
    reasons = insights.failure_reasons(found, for_superadmin=page.scope.everything)
    of_calls = [_of_calls(page, each) for each in reasons]
    of_days = [_of_day(page, each) for each in reports.anomalies(days, most=1)]
    return [*of_calls[: MOST - len(of_days)], *of_days]


def _of_calls(page: Page, reason: insights.FailureReason) -> Item:
    models = ", ".join(name or "—" for _, name in reason.models[:2])
    title = f"{reason.reason} {models}" if reason.is_unpriced else f"{reason.error_code or reason.reason}: {models}"
    return Item(
        "unpriced" if reason.is_unpriced else "failed",
        write_number(reason.count, style_of(get_language())),
        title,
        reason.advice,
        page.calls(reason.narrowing),
    )


def _of_day(page: Page, anomaly: reports.Anomaly) -> Item:
    style = style_of(get_language())
    return Item(
        "anomaly",
        write_amount(anomaly.cost_usd, "USD", style),
        gettext("%(day)s cost %(times)s times as much as usual")
        % {"day": written_day(anomaly.day), "times": write_number(anomaly.times.quantize(Decimal("0.1")), style)},
        gettext("A usual day costs %(usd)s.") % {"usd": write_amount(anomaly.usual_usd, "USD", style)},
        page.calls({**page.day(anomaly.day), "sort": "-cost_usd"}),
    )
