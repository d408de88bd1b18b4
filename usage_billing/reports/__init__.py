"""The only reader: every total comes from `token_usage_daily` here, every list of calls from `token_usage`."""

from usage_billing.reports.asking import Later, send_queryset, together
from usage_billing.reports.breakdown import Breakdown, breakdown
from usage_billing.reports.calls import ORDERINGS, archived_before, calls
from usage_billing.reports.forecast import Forecast, forecast
from usage_billing.reports.history import STEPS, history, newest_days
from usage_billing.reports.listed import Listed, dearest, newest
from usage_billing.reports.paged import Page, page
from usage_billing.reports.question import ALL_TIME, FILTERS, Period
from usage_billing.reports.stacked import Series, stacked
from usage_billing.reports.standouts import Standout, standouts
from usage_billing.reports.totals import charged, compared, summary, totals
from usage_billing.reports.troubles import LOOKED_AT, Trouble, troubles
from usage_billing.reports.work import work

__all__ = [
    "ALL_TIME",
    "FILTERS",
    "LOOKED_AT",
    "ORDERINGS",
    "STEPS",
    "Breakdown",
    "Forecast",
    "Later",
    "Listed",
    "Page",
    "Period",
    "Series",
    "Standout",
    "Trouble",
    "archived_before",
    "breakdown",
    "calls",
    "charged",
    "compared",
    "dearest",
    "forecast",
    "history",
    "newest",
    "newest_days",
    "page",
    "send_queryset",
    "stacked",
    "standouts",
    "summary",
    "together",
    "totals",
    "troubles",
    "work",
]
