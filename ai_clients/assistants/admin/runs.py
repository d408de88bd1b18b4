"""The admin's page that runs an agent on a content piece and shows its output and cost."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pydantic
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ai_clients.assistants.admin.theme import Select, Textarea
from ai_clients.assistants.agents import agents
from ai_clients.assistants.calls.provider_errors import provider_problem
from ai_clients.assistants.runs import run as runs
from ai_clients.assistants.runs.agent import AnyAgent
from ai_clients.assistants.runs.input_errors import by_field
from usage_billing.admin.json_field import BoundedJSONField
from usage_billing.auth.run_throttling import TooManyRunsError, count_run
from usage_billing.tenancy.scope import scoped


def _agents_that_read_a_text() -> list[tuple[str, Any]]:
    return [(agent.id, agent.name) for agent in agents().values() if "text" in agent.input.model_fields]


class RunForm(forms.Form):
    agent = forms.ChoiceField(label=_("Agent"), choices=_agents_that_read_a_text, widget=Select)
    input = BoundedJSONField(
        label=_("Further input"),
        initial=dict,
        required=False,
        widget=Textarea(attrs={"rows": 4}),
        help_text=_('JSON, beside the text and the title, such as {"platform": "vk"}.'),
    )

    def clean_input(self) -> dict[str, Any]:
        given = self.cleaned_data["input"] or {}
        if not isinstance(given, dict):
            raise forms.ValidationError(gettext("Give an object."))
        return given


def run_view(request: HttpRequest, piece_id: uuid.UUID) -> HttpResponse:
    """Show the form and, once it is sent, the agent's output above it. Errors appear in the form or as a message."""
    if not request.user.has_perm("ai_assistants.change_contentpiece"):
        raise PermissionDenied
    with scoped(request.user) as scope:
        try:
            account = runs.account(scope, content_id=piece_id)
        except runs.ContentNotFoundError:
            raise Http404 from None
    form = RunForm(request.POST or None)
    shown: dict[str, Any] = {}
    if form.is_valid():
        agent = agents()[form.cleaned_data["agent"]]
        given = _input(form, agent, runs.filled_in(agent, form.cleaned_data["input"], account.piece))
        if given is not None:
            shown = _run(request, agent, given, account)
    context = {
        **admin.site.each_context(request),
        "title": gettext("An agent for “%(title)s”") % {"title": account.piece},
        "piece": account.piece,
        "form": form,
        **shown,
    }
    return render(request, "ai_assistants/run_agent.html", context)


def _input(form: RunForm, agent: AnyAgent, given: dict[str, Any]) -> pydantic.BaseModel | None:
    try:
        made: pydantic.BaseModel = agent.input.model_validate(given)
    except pydantic.ValidationError as error:
        for field, texts in by_field(error).items():
            form.add_error("input", f"{field}: {' '.join(texts)}")
        return None
    return made


def _run(request: HttpRequest, agent: AnyAgent, given: pydantic.BaseModel, account: runs.Account) -> dict[str, Any]:
    """Run the agent; return the page's variables about the run."""
    try:
        count_run(user_id=request.user.pk, org_id=account.org.pk)
    except TooManyRunsError as reached:
        messages.error(request, str(reached))
        return {}
    try:
        run = runs.run(agent, given, account, user_id=request.user.pk)
    except runs.UnfinishedRunError as unfinished:
        error = unfinished.__cause__
        problem = provider_problem(error) if error is not None else None
        messages.error(request, str(error) if problem is None else problem.message)
        return {"spent": unfinished.spent}
    made = run.made.model_dump(mode="json")
    return {
        "agent_name": agent.name,
        "made": made,
        "made_text": json.dumps(made, ensure_ascii=False, indent=2),
        "spent": run.spent,
    }
