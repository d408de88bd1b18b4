"""`/api/billing/budgets`: budgets with their state, and their history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from usage_billing.api import examples
from usage_billing.api.base import ScopedView
from usage_billing.api.budget_serializers import (
    BudgetBody,
    BudgetHistorySerializer,
    BudgetSerializer,
    BudgetsSerializer,
    values_of,
)
from usage_billing.api.fields import user_key_field
from usage_billing.api.filters import text_field
from usage_billing.api.lists import (
    ListSerializer,
    OrgListSerializer,
    TrueOrFalse,
    listed,
    org_of,
    page_of,
    refusals_answered,
)
from usage_billing.api.schema import NO_CONTENT, refusal
from usage_billing.budgets import editing
from usage_billing.budgets.access import may_change, may_see_history, shows_figures, visible
from usage_billing.budgets.history import visible_changes
from usage_billing.budgets.state import BudgetState, states
from usage_billing.models import Budget, ServiceToken
from usage_billing.models.fields import LARGEST_ID
from usage_billing.tenancy.scope import Scope

ID = OpenApiParameter(
    "id",
    {"type": "integer", "minimum": 1, "maximum": LARGEST_ID},
    OpenApiParameter.PATH,
    description="The `id` that the list shows.",
)


class BudgetListSerializer(OrgListSerializer):
    """Filters of the list of budgets."""

    agent_id = text_field("agent_id", help_text="Id of the agent that they are narrowed to.")
    mode = serializers.ChoiceField(required=False, choices=Budget.Mode.values, help_text="What happens at the limit.")
    is_active = TrueOrFalse(required=False, help_text="Whether they are active.")

    def get_fields(self) -> dict[str, Any]:
        user = user_key_field(required=False, help_text="Id of the user that they are narrowed to.")
        return {**super().get_fields(), "user": user}


class OfBudgetsView(ScopedView):
    tag = "Budgets"
    token_scopes_to_read = (ServiceToken.Scope.READ, ServiceToken.Scope.BUDGETS)
    token_scopes_to_write = (ServiceToken.Scope.BUDGETS,)

    @cached_property
    def now(self) -> datetime:
        return timezone.now()

    @property
    def by(self) -> str:
        """The name of the person, or of the program, in histories."""
        return self.request.user.get_username()

    def budget(self, id: str) -> Budget:
        """The budget, if the person may see it. Another tenant's answers 404, as one that does not exist."""
        found = visible(self.scope).filter(pk=int(id)).first() if int(id) <= LARGEST_ID else None
        if found is None:
            raise NotFound(_("There is no such budget."))
        return found

    def shown(self, budgets: Sequence[Budget]) -> list[dict[str, Any]]:
        """Budgets with their state, as far as the person may see it."""
        found = states(budgets, self.now)
        return [shown(budget, found[budget.pk], self.scope) for budget in budgets]


def shown(budget: Budget, state: BudgetState, scope: Scope) -> dict[str, Any]:
    """A budget as it is answered. A member sees no figures of budgets that count other people's calls."""
    has_figures = shows_figures(scope, budget)
    figures = {
        "spent": state.spent,
        "reserved": state.reserved,
        "remaining": state.remaining,
        "unpriced_count": state.unpriced,
        "forecast": state.forecast,
        "runs_out_on": state.runs_out_on,
    }
    return {
        "id": budget.pk,
        "name": budget.name,
        "org": budget.org.slug,
        "scope": {
            "user": budget.user_id,
            "agent_id": budget.agent_id or None,
            "request_type": budget.request_type or None,
            "ai_provider": budget.ai_provider or None,
            "ai_model": budget.ai_model or None,
            "tag": f"{budget.tag_key}={budget.tag_value}" if budget.tag_key else None,
        },
        **{name: getattr(budget, name) for name in SETTINGS},
        "may_change": may_change(scope, budget),
        "is_used_up": state.is_used_up,
        "resets_at": state.resets_at,
        **(figures if has_figures else dict.fromkeys(figures)),
    }


SETTINGS = (
    "window", "limit", "unit", "mode", "thresholds", "when_unavailable", "replacement", "starts_on", "is_active",
    "is_superadmins",
)  # fmt: skip

_NO_BUDGET = refusal("There is no such budget, or the caller may not see it.", examples.NO_BUDGET)
_MAY_NOT = refusal(
    "The caller sees the budget and may not change it; or a request by session has no CSRF token.",
    examples.SET_BY_SUPERADMIN,
    examples.NOT_AN_OWNER,
    examples.WITHOUT_CSRF,
)
_WRONG = refusal("A field is not valid; `details` names it.", examples.WRONG_LIMIT)


class BudgetListView(OfBudgetsView):
    @extend_schema(
        operation_id="budgets_list",
        parameters=[BudgetListSerializer],
        responses={200: BudgetsSerializer, 400: refusal("A parameter is not valid.", examples.WRONG_PAGE)},
        examples=examples.recorded("budgets_list"),
    )
    def get(self, request: Request) -> Response:
        """List budgets.

        Returns one page of the budgets that you may see, by name, with the state of their present windows: a superadmin
        all, an owner those of their organisations, a member those that may count their calls. What is spent of a budget
        that counts other people's calls is `null` for a member.
        """
        given = listed(BudgetListSerializer, request.query_params, self.scope)
        columns = {"org": "org_id", "user": "user_id", "agent_id": "agent_id", "mode": "mode"}
        rows = visible(self.scope).filter(**{column: given[name] for name, column in columns.items() if name in given})
        if "is_active" in given:
            rows = rows.filter(is_active=given["is_active"] == "true")
        count, budgets = page_of(rows, given)
        return Response(BudgetsSerializer({"count": count, "items": self.shown(budgets)}).data)

    @extend_schema(
        operation_id="budgets_create",
        request=BudgetBody,
        responses={201: BudgetSerializer, 400: _WRONG, 403: _MAY_NOT},
        examples=[examples.sent(examples.NEW_BUDGET), *examples.recorded("budgets_get")],
    )
    def post(self, request: Request) -> Response:
        """Set a budget.

        For superadmins, and for owners within their organisations. Owners see a superadmin's budget and cannot change
        it. `name`, `org` and `limit` are enough. Amounts are decimal strings in `unit`.
        """
        body = BudgetBody(data=request.data, context={"scope": self.scope})
        body.is_valid(raise_exception=True)
        given = body.validated_data
        org, values = org_of(given["org"], self.scope), values_of(given, is_whole=True)
        with refusals_answered():
            budget = editing.create(scope=self.scope, by=self.by, org=org, values=values, now=self.now)
        return Response(BudgetSerializer(self.shown([budget])[0]).data, status=201)


class BudgetView(OfBudgetsView):
    @extend_schema(
        operation_id="budgets_get",
        parameters=[ID],
        responses={200: BudgetSerializer, 404: _NO_BUDGET},
        examples=examples.recorded("budgets_get"),
    )
    def get(self, request: Request, id: str) -> Response:
        """Get one budget.

        Returns a budget that you may see and the state of its present window, in its `unit`. `remaining` is `limit`
        less `spent` and `reserved`. What is spent of a budget that counts other people's calls is `null` for a member.
        """
        return Response(BudgetSerializer(self.shown([self.budget(id)])[0]).data)

    @extend_schema(
        operation_id="budgets_replace",
        parameters=[ID],
        request=BudgetBody,
        responses={200: BudgetSerializer, 400: _WRONG, 403: _MAY_NOT, 404: _NO_BUDGET},
        examples=[examples.sent(examples.NEW_BUDGET), *examples.recorded("budgets_get")],
    )
    def put(self, request: Request, id: str) -> Response:
        """Replace a budget.

        What is left out gets its default value, except `starts_on`, which stays. An answer may be sent back: its
        figures are ignored. The organisation stays. Each change is in the budget's history.
        """
        return self._changed(request, self.budget(id), is_whole=True)

    @extend_schema(
        operation_id="budgets_change",
        parameters=[ID],
        request=BudgetBody(partial=True),
        responses={200: BudgetSerializer, 400: _WRONG, 403: _MAY_NOT, 404: _NO_BUDGET},
        examples=[examples.sent(examples.CHANGED_BUDGET), *examples.recorded("budgets_get")],
    )
    def patch(self, request: Request, id: str) -> Response:
        """Change a budget.

        What is left out stays, also within `scope`; null there narrows nothing. Each change is in the budget's history.
        Another `mode` than `downgrade` removes the `replacement`.
        """
        return self._changed(request, self.budget(id), is_whole=False)

    @extend_schema(
        operation_id="budgets_delete",
        parameters=[ID],
        request=None,
        responses={204: NO_CONTENT, 403: _MAY_NOT, 404: _NO_BUDGET},
    )
    def delete(self, request: Request, id: str) -> Response:
        """Delete a budget.

        It stops nothing any more. Its requests are deleted too; its history stays, for owners and superadmins. A budget
        that is only made inactive can be used again.
        """
        with refusals_answered():
            editing.delete(self.budget(id), scope=self.scope, by=self.by)
        return Response(status=204)

    def _changed(self, request: Request, budget: Budget, *, is_whole: bool) -> Response:
        body = BudgetBody(data=request.data, partial=not is_whole, context={"scope": self.scope})
        body.is_valid(raise_exception=True)
        given = body.validated_data
        if "org" in given and org_of(given["org"], self.scope) != budget.org:
            raise ValidationError({"org": [_("The organisation of a budget does not change. Set another budget.")]})
        values = values_of(given, is_whole=is_whole)
        with refusals_answered():
            changed = editing.change(budget, scope=self.scope, by=self.by, values=values)
        return Response(BudgetSerializer(self.shown([changed])[0]).data)


class BudgetHistoryView(OfBudgetsView):
    """Get the history of a budget.

    Returns one page of its changes, newest first: who changed what, and when. For superadmins and for owners of the
    organisation. The history outlives its budget.
    """

    @extend_schema(
        operation_id="budgets_history",
        parameters=[ID, ListSerializer],
        responses={
            200: BudgetHistorySerializer,
            400: refusal("A parameter is not valid.", examples.WRONG_PAGE),
            403: refusal("The caller sees the budget and not its history.", examples.NOT_ITS_HISTORY),
            404: _NO_BUDGET,
        },
        examples=examples.recorded("budgets_history"),
    )
    def get(self, request: Request, id: str) -> Response:
        given = listed(ListSerializer, request.query_params, self.scope)
        changes = visible_changes(self.scope).filter(budget_id=min(int(id), LARGEST_ID))
        if not changes.exists() and not may_see_history(self.scope, self.budget(id)):
            raise PermissionDenied(_("Only owners of the organisation see the history of a budget."), "not_an_owner")
        count, items = page_of(changes, given)
        return Response(BudgetHistorySerializer({"count": count, "items": items}).data)
