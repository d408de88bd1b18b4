"""The admin's pages of the agents: the list of them, and the form of each with its result and cost."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pydantic
from django import forms
from django.contrib import admin, messages
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ai_clients.assistants.admin.call_links import calls_address
from ai_clients.assistants.admin.input_form import ADD, InputForm, form_class
from ai_clients.assistants.admin.output_view import card
from ai_clients.assistants.admin.recorded import recorded_calls
from ai_clients.assistants.admin.theme import Select
from ai_clients.assistants.agents import agents
from ai_clients.assistants.calls.provider_errors import provider_problem
from ai_clients.assistants.models import ContentPiece
from ai_clients.assistants.runs import run as runs
from ai_clients.assistants.runs.agent import AnyAgent
from usage_billing import reports
from usage_billing.auth.run_throttling import TooManyRunsError, count_run
from usage_billing.models import Organization
from usage_billing.reports import Period
from usage_billing.tenancy.scope import Scope, scoped

PREFIX = "input"
"""Of the names of the agent's own fields, which could be called like ours."""
DAYS = 30
REMEMBERED_S = 24 * 3600
"""How long a form that was sent is known, so that a reload of the page does not pay again."""


class OrganizationForm(forms.Form):
    """Whom a run is charged to, where no content piece says so."""

    org = forms.TypedChoiceField(label=_("Organisation"), coerce=int, widget=Select)
    org.help_text = _("It is charged for the run.")

    def __init__(self, *args: Any, orgs: dict[int, str], **options: Any) -> None:
        super().__init__(*args, **options)
        blank = [] if len(orgs) == 1 else [("", "—")]
        self.fields["org"].choices = [*blank, *orgs.items()]  # type: ignore[attr-defined]


def agents_view(request: HttpRequest, piece_id: uuid.UUID | None = None) -> HttpResponse:
    """List the agents; for a content piece those that read a text."""
    with _allowed(request) as scope:
        piece = _account(scope, piece_id).piece if piece_id else None
        shown = [agent for agent in agents().values() if piece is None or "text" in agent.input.model_fields]
        today = scope.today(timezone.now())
        rows = reports.totals(scope, by=["agent_id"], period=Period.of_days(DAYS, today))
        costs = {row["agent_id"]: row for row in rows}
        context = {
            **admin.site.each_context(request),
            "title": gettext("An agent for “%(title)s”") % {"title": piece} if piece else gettext("Agents"),
            "piece": piece,
            "days": DAYS,
            "agents": [
                {
                    "agent": agent,
                    "model": agent.runs_on()[1],
                    "address": _address(agent, piece),
                    "cost": costs.get(agent.id),
                    "calls_address": calls_address(scope, agent_id=agent.id, days=DAYS),
                }
                for agent in shown
            ],
        }
        return render(request, "ai_assistants/agents.html", context)


def run_view(request: HttpRequest, agent_id: str, piece_id: uuid.UUID | None = None) -> HttpResponse:
    """Show the agent's form and, once it is sent, the output and its cost above it. No scope is open while it works."""
    agent = agents().get(agent_id)
    if agent is None or (piece_id and "text" not in agent.input.model_fields):
        raise Http404
    with _allowed(request) as scope:
        piece = _account(scope, piece_id).piece if piece_id else None
        orgs = {} if piece else dict(_organizations(scope).values_list("pk", "name"))
    sent = request.POST if request.method == "POST" else None
    form = form_class(agent.input)(sent, prefix=PREFIX, initial=_initial(agent, piece))
    org_form = None if piece else OrganizationForm(sent, orgs=orgs)
    context: dict[str, Any] = {"run_id": _run_id(request)}
    if sent is not None and ADD in sent:
        form = form.with_more_rows(sent[ADD])
        org_form = org_form and OrganizationForm(initial={"org": sent.get("org")}, orgs=orgs)
    elif sent is not None:
        given = form.validated()
        if given is not None and (org_form is None or org_form.is_valid()):
            with scoped(request.user) as scope:
                account = _account(scope, piece_id, org_form.cleaned_data["org"] if org_form else None)
            context |= _run_once(request, agent, given, account, context["run_id"])
    context |= {
        **admin.site.each_context(request),
        "title": f"{agent.name}: {piece}" if piece else agent.name,
        "agent": agent,
        "model": agent.runs_on()[1],
        "piece": piece,
        "form": form,
        "org_form": org_form,
        "errors": _errors(form, org_form),
        "list_address": _list_address(piece),
    }
    return render(request, "ai_assistants/run_agent.html", context)


# ── Who, for whom ────────────────────────────────────────────────────────────────────────────────────────────────────


def _allowed(request: HttpRequest) -> Any:
    """The person's scope, for a person who may run agents."""
    if not request.user.has_perm("ai_assistants.change_contentpiece"):
        raise PermissionDenied
    return scoped(request.user)


def _account(scope: Scope, piece_id: uuid.UUID | None, org_id: int | None = None) -> runs.Account:
    try:
        return runs.account(scope, content_id=piece_id, org=org_id)
    except (runs.ContentNotFoundError, runs.OrganizationNotFoundError):
        raise Http404 from None


def _organizations(scope: Scope) -> Any:
    orgs = Organization.objects.filter(closed_at=None).order_by("name")
    return orgs if scope.everything else orgs.filter(pk__in=scope.org_ids)


# ── The form ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _initial(agent: AnyAgent, piece: ContentPiece | None) -> dict[str, Any]:
    """The piece's text and title, and its platform where the agent takes any."""
    if piece is None:
        return {}
    known = runs.filled_in(agent, {}, piece)
    takes_platform = "platform" in agent.input.model_fields and agent.input.model_fields["platform"].annotation is str
    return known | ({"platform": piece.platform} if takes_platform else {})


def _errors(form: InputForm, org_form: OrganizationForm | None) -> list[Any]:
    own = [] if org_form is None or not org_form.is_bound else [
        {"label": org_form["org"].label, "id": org_form["org"].id_for_label, "text": text}
        for text in org_form["org"].errors
    ]  # fmt: skip
    return [*own, *(form.listed_errors() if form.is_bound else ())]


def _run_id(request: HttpRequest) -> str:
    """The id of the run that this form starts: its calls have it as `workflow_id`."""
    given = request.POST.get("run_id", "")
    return given if re.fullmatch(r"[0-9a-f]{32}", given) else uuid.uuid4().hex


def _address(agent: AnyAgent, piece: ContentPiece | None) -> str:
    if piece is None:
        return reverse("admin:ai_assistants_agent_run", args=[agent.id])
    return reverse("admin:ai_assistants_contentpiece_run_agent", args=[piece.pk, agent.id])


def _list_address(piece: ContentPiece | None) -> str:
    if piece is None:
        return reverse("admin:ai_assistants_agents")
    return reverse("admin:ai_assistants_contentpiece_run", args=[piece.pk])


# ── The run ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _run_once(
    request: HttpRequest, agent: AnyAgent, given: pydantic.BaseModel, account: runs.Account, run_id: str
) -> dict[str, Any]:
    """Run the agent, unless this very form was sent before: a reload of the page must not pay again."""
    # The next run is another one, whatever becomes of this.
    context: dict[str, Any] = {"run_id": uuid.uuid4().hex}
    if not cache.add(f"ai_assistants.run.{request.user.pk}.{run_id}", 1, REMEMBERED_S):
        messages.warning(request, gettext("This form was sent before, so nothing was run. Its calls are listed below."))
        with scoped(request.user) as scope:
            return {**context, **recorded_calls(scope, run_id, 0), "repeated": True}
    try:
        count_run(user_id=request.user.pk, org_id=account.org.pk)
    except TooManyRunsError as reached:
        messages.error(request, str(reached))
        return context
    try:
        run = runs.run(agent, given, account, user_id=request.user.pk, workflow_id=run_id)
    except runs.UnfinishedRunError as unfinished:
        error = unfinished.__cause__
        problem = provider_problem(error) if error is not None else None
        messages.error(request, str(error) if problem is None else problem.message)
        measured = unfinished.measured
    else:
        measured = run.measured
        context["output"] = card(run.made, given)
    with scoped(request.user) as scope:
        return {**context, **recorded_calls(scope, run_id, measured.spent.requests_count), "measured": measured}
