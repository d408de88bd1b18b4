"""The only place that adds numbers up: totals from `token_usage_daily`, lists of calls from `token_usage`."""

from usage_billing.reports.anomalies import Anomaly, anomalies, anomalies_by, learned_days, learned_period
from usage_billing.reports.anomaly_causes import Cause, cause
from usage_billing.reports.breakdown import Breakdown, breakdown
from usage_billing.reports.call_lists import CallList, calls_with_totals, newest
from usage_billing.reports.call_pages import Page, page
from usage_billing.reports.calls import ORDERINGS, archived_before, calls
from usage_billing.reports.comparison import Comparison, comparison
from usage_billing.reports.durations import DURATIONS
from usage_billing.reports.failures import FailureGroup, Failures, all_failures, failures
from usage_billing.reports.figures import FIGURES, figure, measures_of
from usage_billing.reports.forecast import Forecast, forecast
from usage_billing.reports.highest_cost import HighestCost, highest_costs
from usage_billing.reports.parameters import ALL_TIME, FILTERS, TAG, Excluded, Filters, Period, narrowed
from usage_billing.reports.related_calls import Around, Found, Workflow, around, find_calls, of_workflow
from usage_billing.reports.sql.tag_keys import tag_keys_by_use
from usage_billing.reports.stacked_series import Series, stacked_series
from usage_billing.reports.time_series import ALL_STEPS, STEPS, PeriodTooLongError, time_series
from usage_billing.reports.token_totals import token_totals
from usage_billing.reports.totals import orgs_with_calls, summary, totals, totals_between
from usage_billing.reports.user_names import user_names
from usage_billing.reports.workflow_totals import workflow_totals

__all__ = [
    "ALL_STEPS",
    "ALL_TIME",
    "DURATIONS",
    "FIGURES",
    "FILTERS",
    "ORDERINGS",
    "STEPS",
    "TAG",
    "Anomaly",
    "Around",
    "Breakdown",
    "CallList",
    "Cause",
    "Comparison",
    "Excluded",
    "FailureGroup",
    "Failures",
    "Filters",
    "Forecast",
    "Found",
    "HighestCost",
    "Page",
    "Period",
    "PeriodTooLongError",
    "Series",
    "Workflow",
    "all_failures",
    "anomalies",
    "anomalies_by",
    "archived_before",
    "around",
    "breakdown",
    "calls",
    "calls_with_totals",
    "cause",
    "comparison",
    "failures",
    "figure",
    "find_calls",
    "forecast",
    "highest_costs",
    "learned_days",
    "learned_period",
    "measures_of",
    "narrowed",
    "newest",
    "of_workflow",
    "orgs_with_calls",
    "page",
    "stacked_series",
    "summary",
    "tag_keys_by_use",
    "time_series",
    "token_totals",
    "totals",
    "totals_between",
    "user_names",
    "workflow_totals",
]
