"""Find what needs action: failed and unpriced calls, days that cost far more than usual, and an unused cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.utils.translation import get_language, gettext

from usage_billing import reports
from usage_billing.pages import insights_amounts, insights_failures
from usage_billing.pages.dimensions import MODEL
from usage_billing.pages.insights_failures import FailureReason
from usage_billing.pages.page import INSIGHTS, Page
from usage_billing.reports.cache_use import cache_use
from usage_billing.reports.token_totals import added_up
from usage_billing.reports.totals import Totals
from usage_billing.templatetags.amounts import style_of, write_amount, write_number, write_percent, written_day

MOST = 4
WORTH_SAVING = Decimal("0.05")
"""The page names a possible saving by the cache if it is more than this part of the cost."""


@dataclass(frozen=True)
class Item:
    """kind: `failed`, `unpriced`, `anomaly`, `saving`, `budget` or `request`. badge: how many calls, or how much.

    link: to these calls, or to the page of what it is about.
    """

    kind: str
    badge: str
    title: str
    text: str
    link: str


def items(page: Page, total: Totals, of_days: Mapping[date, Totals]) -> list[Item]:
    """The most important ones; `of_days` are the period's totals by day. Two queries, for a short period three."""
    period, filters = page.parameters.period, page.parameters.filters
    found = reports.failures(page.scope, period, filters=filters)
    reasons = insights_failures.failure_reasons(found, for_superadmin=page.scope.everything)
    of_calls = [*(_of_calls(page, each) for each in reasons), *_older(page, total, reasons)]
    days = reports.learned_days(page.scope, period, page.today, filters=filters, known=of_days)
    others = [*(_of_day(page, each) for each in reports.anomalies(days, 1, period)), *_of_cache(page)]
    return [*of_calls[: MOST - len(others)], *others]


def _of_calls(page: Page, reason: FailureReason) -> Item:
    return Item(
        "unpriced" if reason.is_unpriced else "failed",
        reason.number,
        reason.title,
        reason.advice,
        page.calls(reason.narrowing),
    )


def _older(page: Page, total: Totals, reasons: Sequence[FailureReason]) -> list[Item]:
    """Failed and unpriced calls that are all older than those that were read."""
    style, found = style_of(get_language()), []
    text = gettext("None of them is among the newest 1,000. A period that ends earlier shows why.")
    if total["failed_count"] and not any("failed" in each.narrowing["status"] for each in reasons):
        link = page.calls(status="failed")
        found.append(Item("failed", write_number(total["failed_count"], style), gettext("Failed calls"), text, link))
    if total["unpriced_usd_count"] and not any(each.is_unpriced for each in reasons):
        link = page.calls(unpriced="usd")
        number = write_number(total["unpriced_usd_count"], style)
        found.append(Item("unpriced", number, gettext("Unpriced calls"), text, link))
    return found


def _of_day(page: Page, anomaly: reports.Anomaly) -> Item:
    style, currency = style_of(get_language()), page.parameters.currency
    cost, usual = anomaly.row[f"cost_{currency}"], anomaly.usual_usd
    if currency == "rub" and cost is not None:
        usual = cost / anomaly.times
    elif currency == "rub":
        cost, currency = anomaly.cost_usd, "usd"
    return Item(
        "anomaly",
        write_amount(cost, currency.upper(), style),
        gettext("%(day)s: %(times)s × the usual cost")
        % {"day": written_day(anomaly.day), "times": write_number(anomaly.times.quantize(Decimal("0.1")), style)},
        gettext("A usual day costs %(amount)s.") % {"amount": write_amount(usual, currency.upper(), style)},
        page.calls({**page.day(anomaly.day), "sort": "-cost_usd"}),
    )


def _of_cache(page: Page) -> list[Item]:
    """Return the possible saving by the providers' cache, if it is worth naming. One query."""
    rows = reports.token_totals(page.scope, page.parameters.period, filters=page.parameters.filters, by=MODEL.columns)
    use = cache_use(rows, page.today)
    (total,) = added_up(rows, ()) or (None,)
    if total is None or not total["cost_usd"] or use.missed_usd <= WORTH_SAVING * total["cost_usd"]:
        return []
    shown, style = insights_amounts.shown(total, page.parameters.currency), style_of(get_language())
    missed = write_amount(use.missed_usd * shown.rate, shown.currency.upper(), style)
    return [
        Item(
            "saving",
            f"≤ {missed}",
            gettext("More of the input could come from the cache"),
            gettext("%(share)s came from it: put what stays the same first in prompts.")
            % {"share": write_percent(100 * (use.share or Decimal(0)), style)},
            page.to(INSIGHTS) + "#cache",
        )
    ]
