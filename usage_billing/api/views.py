"""The reports as JSON: each view parses the query, calls one function of `reports`, and answers."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, ClassVar

from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from usage_billing import reports
from usage_billing.api import examples, groups, parameters, serializers
from usage_billing.api.base import ScopedView
from usage_billing.api.parameters import FiltersSerializer, ReportParameters
from usage_billing.api.schema import BreakdownSchema, ReportSchema, refusal
from usage_billing.budgets.stopped_calls import told_to
from usage_billing.models import ServiceToken
from usage_billing.models.daily_usage import MEASURES
from usage_billing.models.fields import LARGEST_ID
from usage_billing.reports import Period
from usage_billing.reports.totals import Totals


class ReportView(ScopedView):
    """A report: `query` parses its parameters, `answer` formats its result."""

    schema = ReportSchema()
    tag = "Usage"
    token_scopes_to_read = (ServiceToken.Scope.READ,)
    query: ClassVar[type[FiltersSerializer]]
    answer: ClassVar[type[BaseSerializer[Any]]]

    @cached_property
    def now(self) -> datetime:
        return timezone.now()

    @cached_property
    def parameters(self) -> ReportParameters:
        return parameters.report_parameters(self.query, self.request.query_params, self.scope, self.now)

    @cached_property
    def today(self) -> date:
        return self.scope.today(self.now)


class SummaryView(ReportView):
    """Get totals of today, this month and all time.

    Returns calls, tokens and cost of the three periods. A period in the request cuts each of them.
    """

    query = parameters.SummarySerializer
    answer = serializers.SummarySerializer

    def get(self, request: Request) -> Response:
        answer = reports.summary(self.scope, self.today, self.parameters.filters, self.parameters.period)
        return Response(self.answer(answer).data)


class HistoryView(ReportView):
    """Get totals by hour, day, week or month.

    Returns one item for each step of the period, oldest first, without gaps; the last 30 days if no period is given, by
    hour the last two.
    """

    query = parameters.HistorySerializer
    answer = serializers.HistorySerializer

    def get(self, request: Request) -> Response:
        given, step = self.parameters, self.parameters.given["step"]
        try:
            rows = reports.time_series(
                self.scope,
                given.period,
                self.today,
                step=step,
                filters=given.filters,
                measures=(*MEASURES, *reports.DURATIONS),
                now=self.now,
            )
        except reports.PeriodTooLongError as error:
            raise ValidationError({"step": str(error)}) from None
        by_hour = step == "hour"
        answer = {
            "period": _shown(given.period),
            "archived_before": reports.archived_before(given.period) if by_hour else None,
            "items": [_dated(row) if by_hour else {**row, "hour": None} for row in rows],
        }
        return Response(self.answer(answer).data)


class BreakdownView(ReportView):
    """A breakdown, highest cost first or in another order, with each item's change over the period before."""

    schema = BreakdownSchema()
    query = parameters.BreakdownSerializer
    by: ClassVar[str]
    """The name of the dimension."""

    def get(self, request: Request) -> Response:
        asked, given = self.parameters, self.parameters.given
        by, then_by = self.dimension(given), given.get("then_by")
        columns = groups.columns_of(by)
        if then_by is not None and set(groups.columns_of(then_by)) <= set(columns):
            raise ValidationError({"then_by": _("The items are by this dimension already. Give another one.")})
        columns = tuple(dict.fromkeys((*columns, *groups.columns_of(then_by)))) if then_by else columns
        found = reports.breakdown(
            self.scope,
            columns,
            asked.period,
            self.today,
            filters=asked.filters,
            limit=given["limit"],
            ordering=_ordering(given["ordering"]),
            measures=(*MEASURES, *reports.DURATIONS),
        )
        names = groups.named(found.items, by)
        then = groups.named(found.items, then_by) if then_by else [None] * len(found.items)
        answer = {
            "period": _shown(asked.period),
            "previous_period": _shown(asked.period.before(self.today)),
            "total": {**found.total, "then": None},
            "other": found.other,
            "items": [
                {**item, **name, "then": second} for item, name, second in zip(found.items, names, then, strict=True)
            ],
        }
        return Response(self.answer(self.completed(answer, given)).data)

    def dimension(self, given: dict[str, Any]) -> str:
        return self.by

    def completed(self, answer: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """Add to the answer what the endpoint has besides."""
        return answer


class AgentsView(BreakdownView):
    """Get totals by agent.

    Calls without an agent are one item.
    """

    by = "agent_id"
    answer = serializers.AgentsSerializer


class ModelsView(BreakdownView):
    """Get totals by model.

    An item is a pair of provider and model.
    """

    by = "ai_model"
    answer = serializers.ModelsSerializer


class ProvidersView(BreakdownView):
    """Get totals by provider.

    A provider that sells another one's models counts as itself.
    """

    by = "ai_provider"
    answer = serializers.ProvidersSerializer


class RequestTypesView(BreakdownView):
    """Get totals by request type.

    Calls without a request type are one item.
    """

    by = "request_type"
    answer = serializers.RequestTypesSerializer


class StatusesView(BreakdownView):
    """Get totals by status.

    Failed calls may have a cost: the provider charges for what it did before.
    """

    by = "status"
    answer = serializers.StatusesSerializer


class UsersView(BreakdownView):
    """Get totals by user.

    Calls without a user are one item. A deleted user keeps the id and loses the name.
    """

    by = "user"
    answer = serializers.UsersSerializer


class WorkflowsView(BreakdownView):
    """Get totals by workflow.

    Calls outside a workflow are one item. Archived calls count.
    """

    by = "workflow_id"
    answer = serializers.WorkflowsSerializer


class ContentsView(BreakdownView):
    """Get totals by content.

    Calls without content are one item. Archived calls count.
    """

    by = "content_id"
    answer = serializers.ContentsSerializer


class TagView(BreakdownView):
    """Get totals by tag.

    An item is a value of the tag `key`; calls without that tag are one item. An organisation's totals keep 500 values
    of a key apart, and count further ones in one item with `is_other`.
    """

    query = parameters.TagSerializer
    answer = serializers.TagsSerializer

    def dimension(self, given: dict[str, Any]) -> str:
        return f"{reports.TAG}{given['key']}"

    def completed(self, answer: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        items = [{**item, "value": item[self.dimension(given)]} for item in answer["items"]]
        return {**answer, "key": given["key"], "items": items}


class OrgsView(BreakdownView):
    """Get totals by organisation.

    For superadmins, and for owners of several organisations.
    """

    by = "org"
    answer = serializers.OrgsSerializer

    @extend_schema(
        responses={
            200: answer,
            403: refusal("The caller is no superadmin and owns less than two organisations.", examples.NOT_FOR_MEMBERS),
        }
    )
    def get(self, request: Request) -> Response:
        if not self.scope.everything and len(self.scope.owned_org_ids) < 2:
            raise PermissionDenied(_("This is for superadmins and for owners of several organisations."))
        return super().get(request)


class CallsView(ReportView):
    """List single calls.

    Returns one page of calls, newest first or in the order of `ordering`, and the totals of all calls that match.
    Follow `next` to the last page: it is quick at any depth, and calls that arrive meanwhile move no page.
    """

    query = parameters.DetailedSerializer
    answer = serializers.CallsSerializer
    tag = "Calls"

    def get(self, request: Request) -> Response:
        asked, given = self.parameters, self.parameters.given
        found = reports.calls_with_totals(
            self.scope,
            filters=asked.filters,
            period=asked.period,
            ordering=given["ordering"],
            limit=given["limit"],
            offset=given["offset"],
            after=given.get("after"),
        )
        without_cost = found.totals["unpriced_usd_count"] if given["ordering"].endswith("cost_usd") else 0
        cursor = found.page.next and parameters.cursor(given["ordering"], found.page.next)
        answer = {
            "count": found.totals["requests_count"] - without_cost,
            "total": found.totals,
            "next": cursor and self._address(request, cursor),
            "next_cursor": cursor,
            "archived_before": found.archived_before,
            "items": told_to(self.scope, found.page.calls),
        }
        return Response(self.answer(answer).data)

    def _address(self, request: Request, cursor: str) -> str:
        query = request.query_params.copy()
        query.pop("offset", None)
        query["cursor"] = cursor
        return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")


class CallView(ScopedView):
    """Get one call.

    Returns the tokens, cost and attribution of a call that you may see: a superadmin any, an owner those of their
    organisations, a member their own. Another tenant's call answers 404, exactly as a call that does not exist. Amounts
    are decimal strings in USD and RUB; `null` is unknown, and `price_source` says why.
    """

    tag = "Calls"
    token_scopes_to_read = (ServiceToken.Scope.READ,)

    @extend_schema(
        operation_id="usage_call",
        parameters=[
            OpenApiParameter(
                "id",
                {"type": "integer", "minimum": 1, "maximum": LARGEST_ID},
                OpenApiParameter.PATH,
                description="The `id` that `detailed` shows.",
            )
        ],
        responses={
            200: serializers.CallSerializer,
            404: refusal("There is no such call, or the caller may not see it.", examples.NO_CALL),
        },
        examples=examples.recorded("usage_call"),
    )
    def get(self, request: Request, id: str) -> Response:
        is_possible = int(id) <= LARGEST_ID
        call = reports.calls(self.scope, filters={"id": int(id)}).first() if is_possible else None
        if call is None:
            raise NotFound(_("There is no such call."))
        told_to(self.scope, [call])
        return Response(serializers.CallSerializer(call).data)


def _dated(row: Totals) -> Totals:
    """Name the hour of a row, and the day in which it is."""
    return {**row, "hour": row["date"], "date": row["date"].date()}


def _ordering(name: str) -> str:
    """The figure that the API calls by that name, with its sign."""
    names = {shown: figure for figure, shown in parameters.API_NAMES.items()}
    sign, figure = ("-", name[1:]) if name.startswith("-") else ("", name)
    return sign + names.get(figure, figure)


def _shown(period: Period | None) -> dict[str, date | None]:
    """Format a period with its last day included."""
    if period is None:
        return {"from": None, "to": None}
    return {"from": period.since, "to": period.until and period.until - timedelta(days=1)}
