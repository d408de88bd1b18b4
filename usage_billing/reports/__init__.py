"""The only reader: every total comes from `token_usage_daily` here, every list of calls from `token_usage`."""

from usage_billing.reports.anomalies import Anomaly, anomalies
from usage_billing.reports.breakdown import Breakdown, breakdown
from usage_billing.reports.call_lists import ListedCall, most_expensive, newest
from usage_billing.reports.call_pages import Page, page
from usage_billing.reports.calls import ORDERINGS, archived_before, calls
from usage_billing.reports.failures import LOOKED_AT, FailureGroup, failures
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
    "Anomaly",
    "Breakdown",
    "FailureGroup",
    "Forecast",
    "Later",
    "ListedCall",
    "Page",
    "Period",
    "Series",
    "anomalies",
    "archived_before",
    "breakdown",
    "calls",
    "charged",
    "compared",
    "failures",
    "forecast",
    "history",
    "most_expensive",
    "newest",
    "newest_days",
    "page",
    "send_queryset",
    "stacked",
    "summary",
    "together",
    "totals",
    "work",
]
