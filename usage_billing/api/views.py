"""The reports as JSON: each view parses the query, calls one function of `reports`, and answers."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, ClassVar

from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from usage_billing import reports
from usage_billing.api import examples, parameters, serializers
from usage_billing.api.base import ScopedView
from usage_billing.api.fields import LARGEST_ID
from usage_billing.api.parameters import FiltersSerializer, ReportParameters
from usage_billing.api.schema import ReportSchema, refusal
from usage_billing.models import Organization
from usage_billing.models.user_keys import is_user
from usage_billing.reports import Period
from usage_billing.reports.totals import Totals


class ReportView(ScopedView):
    """A report: `query` parses its parameters, `answer` formats its result."""

    schema = ReportSchema()
    tag = "Usage"
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
    """Get totals by day, week or month.

    Returns one item for each step of the period, oldest first, without gaps; the last 30 days if no period is given.
    """

    query = parameters.HistorySerializer
    answer = serializers.HistorySerializer

    def get(self, request: Request) -> Response:
        given = self.parameters
        items = reports.time_series(
            self.scope, given.period, self.today, step=given.given["step"], filters=given.filters
        )
        answer = {"period": _shown(given.period), "items": items}
        return Response(self.answer(answer).data)


class BreakdownView(ReportView):
    """A breakdown, highest cost first, with each item's change over the period before."""

    # The docstrings of the views below are texts of the schema.

    query = parameters.BreakdownSerializer
    by: ClassVar[tuple[str, ...]]

    def get(self, request: Request) -> Response:
        given = self.parameters
        found = reports.breakdown(
            self.scope, self.by, given.period, self.today, filters=given.filters, limit=given.given["limit"]
        )
        answer = {
            "period": _shown(given.period),
            "previous_period": _shown(given.period.before(self.today)),
            "total": found.total,
            "other": found.other,
            "items": self.named(found.items),
        }
        return Response(self.answer(answer).data)

    def named(self, items: list[Totals]) -> list[Totals]:
        """Add the names that people know the items by."""
        return items


class AgentsView(BreakdownView):
    """Get totals by agent.

    Returns the agents, highest cost first, each with its share, averages and the change over the period before.
    """

    by = ("agent_id",)
    answer = serializers.AgentsSerializer


class ModelsView(BreakdownView):
    """Get totals by model.

    Returns pairs of provider and model, highest cost first, each with share, averages and the change over the period
    before.
    """

    by = ("ai_provider", "ai_model")
    answer = serializers.ModelsSerializer


class RequestTypesView(BreakdownView):
    """Get totals by request type.

    Returns the request types, highest cost first, each with share, averages and the change over the period before.
    """

    by = ("request_type",)
    answer = serializers.RequestTypesSerializer


class UsersView(BreakdownView):
    """Get totals by user.

    Returns the users, highest cost first, each with share, averages and the change over the period before. A deleted
    user keeps the id and loses the name; calls without a user are one item.
    """

    by = ("user_id",)
    answer = serializers.UsersSerializer

    def named(self, items: list[Totals]) -> list[Totals]:
        names = reports.user_names(item["user_id"] for item in items)
        return [
            {**item, "user": key if is_user(key := item["user_id"]) else None, "username": names.get(key)}
            for item in items
        ]


class OrgsView(BreakdownView):
    """Get totals by organisation.

    Returns the organisations, highest cost first, each with share, averages and the change over the period before. For
    superadmins, and for owners of several organisations.
    """

    by = ("org_id",)
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

    def named(self, items: list[Totals]) -> list[Totals]:
        names = dict(Organization.objects.filter(pk__in=[item["org_id"] for item in items]).values_list("pk", "name"))
        return [{**item, "org": item["org_id"], "name": names[item["org_id"]]} for item in items]


class CallsView(ReportView):
    """List single calls.

    Returns one page of calls, newest first or in the order of `ordering`, and the number of all calls that match.
    Follow `next` to the last page: it is quick at any depth, and calls that arrive meanwhile move no page.
    """

    query = parameters.DetailedSerializer
    answer = serializers.CallsSerializer
    tag = "Calls"

    def get(self, request: Request) -> Response:
        asked, given = self.parameters, self.parameters.given
        (total,) = reports.totals(self.scope, filters=asked.filters, period=asked.period)
        without_cost = total["unpriced_usd_count"] if given["ordering"].endswith("cost_usd") else 0
        page = reports.Page([], None)
        if total["requests_count"]:  # a search without a match scans long
            page = reports.page(
                self.scope,
                filters=asked.filters,
                period=asked.period,
                ordering=given["ordering"],
                limit=given["limit"],
                offset=given["offset"],
                after=given.get("after"),
            )
        cursor = page.next and parameters.cursor(given["ordering"], page.next)
        answer = {
            "count": total["requests_count"] - without_cost,
            "next": cursor and self._address(request, cursor),
            "next_cursor": cursor,
            "archived_before": reports.archived_before(asked.period),
            "items": page.calls,
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
        return Response(serializers.CallSerializer(call).data)


def _shown(period: Period | None) -> dict[str, date | None]:
    """Format a period with its last day included."""
    if period is None:
        return {"from": None, "to": None}
    return {"from": period.since, "to": period.until and period.until - timedelta(days=1)}
