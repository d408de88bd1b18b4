"""The only reader: every total comes from `token_usage_daily` here, every list of calls from `token_usage`."""

from usage_billing.reports.anomalies import Standout, standouts
from usage_billing.reports.breakdown import Breakdown, breakdown
from usage_billing.reports.call_lists import Listed, dearest, newest
from usage_billing.reports.call_pages import Page, page
from usage_billing.reports.calls import ORDERINGS, archived_before, calls
from usage_billing.reports.failures import LOOKED_AT, Trouble, troubles
from usage_billing.reports.forecast import Forecast, forecast
from usage_billing.reports.parameters import ALL_TIME, FILTERS, Period
from usage_billing.reports.sql.pipelining import Later, send_queryset, together
from usage_billing.reports.stacked_series import Series, stacked
from usage_billing.reports.time_series import STEPS, history, newest_days
from usage_billing.reports.totals import charged, compared, summary, totals
from usage_billing.reports.workflows import work

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
