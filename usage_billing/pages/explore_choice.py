"""The choices of a person in Explore: metric, groups, step, compared period, order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.utils.translation import get_language, gettext
from rest_framework import serializers

from usage_billing import reports
from usage_billing.api.filters import check_tag_key
from usage_billing.api.serializers import DayField
from usage_billing.pages import dimensions
from usage_billing.pages.dimensions import MODEL, WORKFLOWS, Dimension
from usage_billing.pages.explore_metrics import BY_NAME, COST, METRICS, Metric
from usage_billing.pages.overview import step_of
from usage_billing.pages.page import Page
from usage_billing.pages.parameters import PageSerializer, check_days
from usage_billing.reports import ALL_STEPS, TAG, Period
from usage_billing.reports.time_series import HOUR, LONGEST_BY_HOUR
from usage_billing.reports.totals import Totals
from usage_billing.templatetags.amounts import style_of, write_number

NAME, THEN, SHARE, CHANGE = "name", "then", "share", "change"
SORTED_HERE = (NAME, THEN, CHANGE)
"""Columns that the database does not order by: the rows with most of the metric are ordered here."""
SORTS = (NAME, THEN, SHARE, CHANGE, *BY_NAME)
BEFORE, NONE = "before", "none"
MOST_CALLS_BY_WORKFLOW = 200_000
"""Workflows and content are added up from at most so many calls, because no rollup has them: 690 ms for both of 57,000
calls (`insights_expensive`)."""
FORMATS = ("csv", "xlsx", "jsonl")
ROWS, STEPS = "rows", "steps"


class GroupField(serializers.Field[Dimension, str, str, Any]):
    """The name of a dimension, or `tag.<key>`."""

    def to_internal_value(self, data: str) -> Dimension:
        name = str(data)
        if name.startswith(TAG):
            check_tag_key(name.removeprefix(TAG))
        if (found := dimensions.by_name(name)) is None:
            known = ", ".join([*dimensions.BY_NAME, f"{TAG}<key>"])
            raise serializers.ValidationError(gettext("Known values: %(known)s.") % {"known": known})
        return found


class ExploreSerializer(PageSerializer):
    metric = serializers.ChoiceField(default=COST.name, choices=[each.name for each in METRICS])
    group = GroupField(required=False)
    then = GroupField(required=False)
    # The forms for another tag send these; the page leads to `group=tag.<key>`.
    group_tag = serializers.CharField(required=False, max_length=40)
    then_tag = serializers.CharField(required=False, max_length=40)
    step = serializers.ChoiceField(required=False, choices=list(ALL_STEPS))
    compare = serializers.ChoiceField(default=BEFORE, choices=(NONE, BEFORE))
    compare_from = DayField(required=False)
    compare_to = DayField(required=False)
    sort = serializers.ChoiceField(required=False, choices=[sign + name for name in SORTS for sign in ("", "-")])
    patterns = serializers.ChoiceField(required=False, choices=("1",))
    rows = serializers.ChoiceField(required=False, choices=("all",))
    numbers = serializers.ChoiceField(required=False, choices=("show",))
    format = serializers.ChoiceField(required=False, choices=FORMATS)
    table = serializers.ChoiceField(default=ROWS, choices=(ROWS, STEPS))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        first, last = attrs.get("compare_from"), attrs.get("compare_to")
        if (first is None) != (last is None):
            given, other = ("compare_from", "compare_to") if last is None else ("compare_to", "compare_from")
            text = gettext("Give “%(other)s” as well: the period to compare with has a first and a last day.")
            raise serializers.ValidationError({given: text % {"other": other}})
        check_days(attrs, "compare_from", "compare_to")
        if attrs.get("group", MODEL) == attrs.get("then"):
            raise serializers.ValidationError({"then": gettext("The first group is this one already.")})
        return attrs


@dataclass(frozen=True)
class Choice:
    """`then`: the second group. `compared`: the period to compare with, None without a comparison.

    sort: the name of a column; is_descending: largest first.
    """

    metric: Metric
    group: Dimension
    then: Dimension | None
    step: str
    compared: Period | None
    is_custom: bool
    sort: str
    is_descending: bool
    has_patterns: bool
    all_rows: bool
    currency: str

    @property
    def figure(self) -> str:
        """The figure of reports that is the metric."""
        return self.metric.figure(self.currency)

    @property
    def groups(self) -> tuple[Dimension, ...]:
        return (self.group,) if self.then is None else (self.group, self.then)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of reports to group by."""
        return tuple(dict.fromkeys(column for each in self.groups for column in each.columns))

    def key(self, row: Totals) -> tuple[object, ...]:
        return tuple(row[column] for column in self.columns)

    def narrowing(self, row: Totals) -> dict[str, str]:
        """The URL parameters that narrow a page to that row."""
        return {name: text for each in self.groups for name, text in each.narrowing(each.key(row)).items()}

    @property
    def ordering(self) -> str:
        """The order of rows in the database: `share` is that of the metric."""
        if self.sort in (*SORTED_HERE, SHARE):
            return f"{'-' if self.is_descending or self.sort in SORTED_HERE else ''}{self.figure}"
        return ("-" if self.is_descending else "") + BY_NAME[self.sort].figure(self.currency)

    @property
    def draws_compared(self) -> bool:
        """Whether the compared period can be drawn by the same step."""
        if self.step != HOUR or self.compared is None or self.compared.since is None or self.compared.until is None:
            return True
        return (self.compared.until - self.compared.since).days <= LONGEST_BY_HOUR


def choice_of(page: Page) -> Choice:
    """Read the parameters. Where the period is too long for a step of an hour, or for workflows and content, these are
    left out, with a hint. Two queries more for workflows and content.
    """
    own, parameters = page.parameters.own, page.parameters
    metric = BY_NAME[own["metric"]]
    is_custom = "compare_from" in own and own["compare"] != NONE
    compared = None
    if is_custom:
        compared = Period(own["compare_from"], own["compare_to"] + timedelta(days=1))
    elif own["compare"] == BEFORE:
        compared = parameters.period.before(page.today)
    group, then = _groups(page, compared)
    sort = own.get("sort", f"-{metric.name}")
    if sort.removeprefix("-") == THEN and then is None:
        sort = NAME
    return Choice(
        metric=metric,
        group=group,
        then=then,
        step=_step(page, own.get("step")),
        compared=compared,
        is_custom=is_custom,
        sort=sort.removeprefix("-"),
        is_descending=sort.startswith("-"),
        has_patterns="patterns" in own,
        all_rows="rows" in own,
        currency=parameters.currency,
    )


def _groups(page: Page, compared: Period | None) -> tuple[Dimension, Dimension | None]:
    group, then = page.parameters.own.get("group", MODEL), page.parameters.own.get("then")
    if not {group, then} & {*WORKFLOWS} or _number_of_calls(page, compared) <= MOST_CALLS_BY_WORKFLOW:
        return group, then
    page.parameters.hints.append(
        gettext(
            "Workflows and content are added up from single calls, at most %(most)s of both periods: choose fewer days"
            " or a filter, or compare with nothing. This is by model."
        )
        % {"most": write_number(MOST_CALLS_BY_WORKFLOW, style_of(get_language()))}
    )
    return MODEL, None


def _number_of_calls(page: Page, compared: Period | None) -> int:
    """The calls of the period and of the compared one."""
    filters, measures = page.parameters.filters, ["requests_count"]
    periods = [each for each in (page.parameters.period, compared) if each is not None]
    found = [reports.totals(page.scope, filters=filters, period=each, measures=measures) for each in periods]
    return sum(row["requests_count"] for (row,) in found)


def typed_tags(page: Page) -> dict[str, str | None]:
    """The changes of parameters for tags that were typed into a form."""
    changes: dict[str, str | None] = {}
    for name in ("group", "then"):
        if key := page.parameters.own.get(f"{name}_tag"):
            changes |= {name: f"{TAG}{key}", f"{name}_tag": None}
    return changes


def _step(page: Page, given: str | None) -> str:
    period = page.parameters.period
    if given == HOUR and not may_be_hourly(period, page.today):
        page.parameters.hints.append(
            gettext("At most %(days)d days can be shown by hour: the step is a day here.") % {"days": LONGEST_BY_HOUR}
        )
        given = None
    return given or step_of(period, page.today)


def may_be_hourly(period: Period, today: date) -> bool:
    return period.since is not None and (period.last_day(today) - period.since).days < LONGEST_BY_HOUR
