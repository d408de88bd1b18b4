"""The only reader: every total comes from `token_usage_daily` here, every list of calls from `token_usage`."""

from usage_billing.reports.breakdown import Breakdown, breakdown
from usage_billing.reports.calls import ORDERINGS, Page, calls, page
from usage_billing.reports.history import STEPS, history
from usage_billing.reports.question import ALL_TIME, FILTERS, Period
from usage_billing.reports.totals import compared, summary, totals

__all__ = [
    "ALL_TIME",
    "FILTERS",
    "ORDERINGS",
    "STEPS",
    "Breakdown",
    "Page",
    "Period",
    "breakdown",
    "calls",
    "compared",
    "history",
    "page",
    "summary",
    "totals",
]
