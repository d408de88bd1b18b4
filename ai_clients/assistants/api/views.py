"""The agents over HTTP: parse, find the organisation to charge, run the agent, answer."""

from __future__ import annotations

from typing import Any

import pydantic
from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ai_clients.assistants.agents import agents
from ai_clients.assistants.api import examples
from ai_clients.assistants.api.errors import RESPONSES, RunFailedError, count_run
from ai_clients.assistants.api.serializers import AgentSerializer, RunOrderSerializer, RunSerializer
from ai_clients.assistants.runs import run as runs
from ai_clients.assistants.runs.agent import AnyAgent
from ai_clients.assistants.runs.input_errors import by_field
from usage_billing.api.base import ApiView
from usage_billing.api.examples import answered, sent
from usage_billing.api.schema import refusal
from usage_billing.tenancy.scope import scoped


class AgentListView(ApiView):
    """List the agents.

    Returns purpose, model, and the JSON Schemas of input and output of each agent. For everybody who is logged in.
    """

    tag = "Agents"

    @extend_schema(
        operation_id="agents_list", responses=AgentSerializer(many=True), examples=[answered(examples.AGENT)]
    )
    def get(self, request: Request) -> Response:
        return Response(AgentSerializer([_described(agent) for agent in agents().values()], many=True).data)


class AgentRunView(ApiView):
    """Run an agent.

    Returns the agent's output, and the tokens and cost of its calls in USD and RUB. The run is charged to an
    organisation of the caller's, whose owners and members may run agents; a superadmin may charge any. An amount is
    `null` if the cost of a call is unknown. A failed run may have a cost as well: `details` has it.
    """

    tag = "Agents"

    # It sets its scopes itself: none is held while the provider works.
    @extend_schema(
        operation_id="agents_run",
        parameters=[
            OpenApiParameter(
                "agent_id", str, OpenApiParameter.PATH, description="Id of the agent, such as `legal_guard`."
            )
        ],
        request=RunOrderSerializer,
        responses={
            **RESPONSES,
            200: RunSerializer,
            400: refusal("A field is not valid; `details` names it.", examples.WITHOUT_INPUT),
            404: refusal("There is no such agent, organisation or content piece for the caller.", examples.NO_AGENT),
            422: refusal("The model refused, or its answer was cut off. A retry is useless.", examples.RUN_CUT_OFF),
            502: refusal("The provider failed; `details` says whether and when to retry.", examples.RUN_PROVIDER_BUSY),
        },
        examples=[sent(examples.RUN_REQUEST), answered(examples.RUN)],
    )
    def post(self, request: Request, agent_id: str) -> Response:
        agent = agents().get(agent_id)
        if agent is None:
            raise NotFound(gettext("There is no such agent."))
        order = RunOrderSerializer(data=request.data)
        order.is_valid(raise_exception=True)
        asked = order.validated_data
        account = _account(request.user, asked)
        given = _input(agent, runs.filled_in(agent, asked["input"], account.piece))
        count_run(user_id=request.user.pk, org_id=account.org.pk)
        try:
            run = runs.run(agent, given, account, user_id=request.user.pk, workflow_id=asked.get("workflow_id", ""))
        except runs.UnfinishedRunError as unfinished:
            raise RunFailedError(unfinished) from unfinished
        answer = {
            "agent_id": agent.id,
            "org": account.org.slug,
            "content_id": account.piece and account.piece.pk,
            "workflow_id": run.workflow_id,
            "output": run.made.model_dump(mode="json"),
            "cost": run.spent,
        }
        return Response(RunSerializer(answer).data)


def _described(agent: AnyAgent) -> dict[str, Any]:
    provider, model = agent.runs_on()
    return {
        "id": agent.id,
        "name": agent.name,
        "description": agent.description,
        "provider": provider,
        "model": model,
        "input_schema": agent.input.model_json_schema(),
        "output_schema": agent.output.model_json_schema(),
    }


def _account(user: Any, asked: dict[str, Any]) -> runs.Account:
    with scoped(user) as scope:
        if scope.is_empty:
            raise PermissionDenied(gettext("You belong to no organisation that a run could be charged to."))
        try:
            return runs.account(scope, org=asked.get("org"), content_id=asked.get("content_id"))
        except runs.OrganizationNotFoundError:
            raise NotFound(gettext("There is no such organisation.")) from None
        except runs.ContentNotFoundError:
            raise NotFound(gettext("There is no such content piece.")) from None
        except runs.OrganizationRequiredError:
            raise ValidationError({"org": [gettext("Say which organisation is charged.")]}) from None


def _input(agent: AnyAgent, given: dict[str, Any]) -> Any:
    try:
        return agent.input.model_validate(given)
    except pydantic.ValidationError as error:
        raise ValidationError(by_field(error, under="input")) from None
