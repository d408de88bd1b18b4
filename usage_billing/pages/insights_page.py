"""Insights: what a person should look at, with what to do about it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from usage_billing import reports
from usage_billing.pages import (
    insights_amounts,
    insights_anomalies,
    insights_batch,
    insights_cache,
    insights_expensive,
    insights_failures,
    insights_models,
    insights_recording,
)
from usage_billing.pages.controls import Choice
from usage_billing.pages.dimensions import AGENT, BY_NAME, TYPE
from usage_billing.pages.page import Page
from usage_billing.pages.parameters import PageSerializer
from usage_billing.reports.anomalies import LOOKED_AT_DAYS
from usage_billing.reports.totals import COST_MEASURES

MEASURES = (*COST_MEASURES, "failed_count")
SAVINGS_BY = (TYPE, AGENT)


class InsightsSerializer(PageSerializer):
    """by: the rows of cache and batch savings. compare_model: `provider/model`; compared: several, with commas.

    workflows: add them up, however many calls there are.
    """

    by = serializers.ChoiceField(default=TYPE.name, choices=[each.name for each in SAVINGS_BY])
    compare_model = serializers.CharField(required=False, max_length=300)
    compared = serializers.CharField(required=False, max_length=3000)
    workflows = serializers.ChoiceField(required=False, choices=("show",))


def context(page: Page) -> dict[str, Any]:
    """The context of the template. Its number of queries does not depend on the amount of usage."""
    parameters = page.parameters
    (total,) = reports.totals(page.scope, filters=parameters.filters, period=parameters.period, measures=MEASURES)
    recording = insights_recording.section(page) if page.scope.everything else None
    if not total["requests_count"]:
        return {"total": total, "recording": recording}
    rows = reports.token_totals(page.scope, parameters.period, filters=parameters.filters)
    shown = insights_amounts.shown(total, parameters.currency)
    by = BY_NAME[parameters.own["by"]]
    return {
        "total": total,
        "recording": recording,
        "shown": shown,
        "failures": insights_failures.section(page, total),
        "anomalies": insights_anomalies.entries(page),
        "last_days_looked_at": LOOKED_AT_DAYS if insights_anomalies.is_cut(page) else None,
        "cache": insights_cache.section(page, rows, by, shown),
        "comparison": insights_models.section(page, rows, shown),
        "batch": insights_batch.section(page, rows, by, shown),
        "expensive": insights_expensive.section(page, total),
        "savings_by": [Choice(str(each.one), page.link(by=each.name), each == by) for each in SAVINGS_BY],
        "archived_before": reports.archived_before(parameters.period),
    }
