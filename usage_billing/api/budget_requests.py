"""`/api/billing/budget-requests`: people ask for higher limits, owners and superadmins answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from usage_billing.api import examples
from usage_billing.api.budget_serializers import AnswerBody, AskBody, AskedLimitSerializer, AskedLimitsSerializer
from usage_billing.api.budgets import ID, OfBudgetsView
from usage_billing.api.fields import WholeNumberField
from usage_billing.api.lists import OrgListSerializer, listed, page_of, refusals_answered
from usage_billing.api.schema import refusal
from usage_billing.budgets import requests
from usage_billing.budgets.access import visible, visible_requests
from usage_billing.models import BudgetRequest
from usage_billing.models.fields import LARGEST_ID
from usage_billing.reports import user_names


class RequestListSerializer(OrgListSerializer):
    """Filters of the list of requests."""

    budget = WholeNumberField(required=False, min_value=1, max_value=LARGEST_ID, help_text="Id of the budget.")
    state = serializers.ChoiceField(
        required=False, choices=BudgetRequest.State.values, help_text="State of the request."
    )


def shown(asked: Sequence[BudgetRequest]) -> list[dict[str, Any]]:
    """Requests as they are answered. One query; a second one if a user was deleted."""
    names = user_names(each.user_id for each in asked)
    columns = ("limit", "reason", "state", "created_at", "answered_by", "answered_at")
    return [
        {
            "id": each.pk,
            "org": each.org.slug,
            "budget": each.budget_id,
            "budget_name": each.budget.name,
            "user": each.user_id,
            "username": names.get(each.user_id),
            **{name: getattr(each, name) for name in columns},
        }
        for each in asked
    ]


_NO_REQUEST = refusal("There is no such request, or the caller may not see it.", examples.NO_REQUEST)


class BudgetRequestListView(OfBudgetsView):
    @extend_schema(
        operation_id="budget_requests_list",
        parameters=[RequestListSerializer],
        responses={200: AskedLimitsSerializer, 400: refusal("A parameter is not valid.", examples.WRONG_PAGE)},
        examples=examples.recorded("budget_requests_list"),
    )
    def get(self, request: Request) -> Response:
        """List requests for higher limits.

        Returns one page of the requests that you may see, newest first: a superadmin all, an owner those of their
        organisations, a member their own.
        """
        given = listed(RequestListSerializer, request.query_params, self.scope)
        columns = {"org": "org_id", "budget": "budget_id", "state": "state"}
        narrowed = {column: given[name] for name, column in columns.items() if name in given}
        count, asked = page_of(visible_requests(self.scope).filter(**narrowed), given)
        return Response(AskedLimitsSerializer({"count": count, "items": shown(asked)}).data)

    @extend_schema(
        operation_id="budget_requests_create",
        request=AskBody,
        responses={
            201: AskedLimitSerializer,
            400: refusal("A field is not valid; `details` names it.", examples.LOW_LIMIT),
            403: refusal(
                "The caller may change the budget without asking; or a request by session has no CSRF token.",
                examples.MAY_CHANGE_IT,
                examples.WITHOUT_CSRF,
            ),
        },
        examples=[examples.sent(examples.NEW_REQUEST), *examples.recorded("budget_requests_get")],
    )
    def post(self, request: Request) -> Response:
        """Ask for a higher limit.

        For members, of budgets that may count their calls; for owners, of budgets that a superadmin has set. A person
        has one open request for a budget.
        """
        body = AskBody(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        budget = visible(self.scope).filter(pk=given["budget"]).first()
        if budget is None:
            raise ValidationError({"budget": [_("There is no such budget.")]})
        with refusals_answered():
            asked = requests.ask(budget, scope=self.scope, limit=given["limit"], reason=given["reason"])
        asked.org = budget.org
        return Response(AskedLimitSerializer(shown([asked])[0]).data, status=201)


class BudgetRequestView(OfBudgetsView):
    @extend_schema(
        operation_id="budget_requests_get",
        parameters=[ID],
        responses={200: AskedLimitSerializer, 404: _NO_REQUEST},
        examples=examples.recorded("budget_requests_get"),
    )
    def get(self, request: Request, id: str) -> Response:
        """Get one request for a higher limit.

        Returns a request that you may see: a superadmin any, an owner those of their organisations, a member their own.
        """
        return Response(AskedLimitSerializer(shown([self._request(id)])[0]).data)

    @extend_schema(
        operation_id="budget_requests_answer",
        parameters=[ID],
        request=AnswerBody,
        responses={
            200: AskedLimitSerializer,
            400: refusal("A field is not valid, or it was answered already.", examples.ANSWERED_ALREADY),
            403: refusal(
                "The caller sees the request and may not answer it; or a request by session has no CSRF token.",
                examples.GRANTED_BY_SUPERADMINS,
                examples.ANSWERED_BY_OWNERS,
                examples.WITHOUT_CSRF,
            ),
            404: _NO_REQUEST,
        },
        examples=[examples.sent(examples.GRANT), *examples.recorded("budget_requests_get")],
    )
    def patch(self, request: Request, id: str) -> Response:
        """Grant or refuse a request.

        Granting sets the budget's limit, to what is wanted or to `limit`, and is in the budget's history. For
        superadmins and owners; an owner can refuse but not grant more of a budget that a superadmin has set.
        """
        asked = self._request(id)
        body = AnswerBody(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        with refusals_answered():
            if given["state"] == BudgetRequest.State.GRANTED:
                answered = requests.grant(asked, scope=self.scope, by=self.by, limit=given.get("limit"), now=self.now)
            else:
                answered = requests.refuse(asked, scope=self.scope, by=self.by, now=self.now)
        return Response(AskedLimitSerializer(shown([answered])[0]).data)

    def _request(self, id: str) -> BudgetRequest:
        found = visible_requests(self.scope).filter(pk=int(id)).first() if int(id) <= LARGEST_ID else None
        if found is None:
            raise NotFound(_("There is no such request."))
        return found
