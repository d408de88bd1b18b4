"""The only reader: every total comes from `token_usage_daily` here, every list of calls from `token_usage`."""

from usage_billing.reports.asking import Later, send_queryset, together
from usage_billing.reports.breakdown import Breakdown, breakdown
from usage_billing.reports.calls import ORDERINGS, Page, archived_before, calls, page
from usage_billing.reports.forecast import Forecast, forecast
from usage_billing.reports.history import STEPS, history
from usage_billing.reports.listed import DEAREST, Listed, listed
from usage_billing.reports.question import ALL_TIME, FILTERS, Period
from usage_billing.reports.stacked import Series, stacked
from usage_billing.reports.standouts import Standout, standouts
from usage_billing.reports.totals import charged, compared, summary, totals
from usage_billing.reports.troubles import Trouble, troubles
from usage_billing.reports.work import work

__all__ = [
    "ALL_TIME",
    "DEAREST",
    "FILTERS",
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
    "forecast",
    "history",
    "listed",
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
