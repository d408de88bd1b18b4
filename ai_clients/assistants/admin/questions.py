"""The admin's page that asks a question about messages or content chosen in a list."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ai_clients.assistants.admin.problems import problems_shown
from ai_clients.assistants.admin.recorded import recorded_calls
from ai_clients.assistants.admin.theme import Textarea
from ai_clients.assistants.custom_analysis.analysis import (
    LONGEST_QUESTION,
    Analysis,
    Selection,
    SelectionError,
    analyze,
    select,
)
from ai_clients.assistants.models import Message
from ai_clients.assistants.runs.measurement import measure
from usage_billing.admin.scoped import request_scope
from usage_billing.auth.run_throttling import count_run
from usage_billing.recording import Event, collected, usage_context
from usage_billing.tenancy.scope import scoped


class QuestionForm(forms.Form):
    question = forms.CharField(label=_("Question"), max_length=LONGEST_QUESTION, widget=Textarea(attrs={"rows": 3}))


@admin.action(description=_("Ask the AI about these texts"), permissions=["change"])
def ask_about(model_admin: Any, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse | None:
    """Show the form of a question about the chosen texts."""
    ids = list(chosen.values_list("pk", flat=True))
    try:
        selection = select(request_scope(request), *((ids, ()) if model_admin.model is Message else ((), ids)))
    except SelectionError as error:
        messages.warning(request, str(error))
        return None
    return _page(request, QuestionForm(), selection)


def ask_view(request: HttpRequest) -> HttpResponse:
    """Ask the question, and show the answer above the form of the next one."""
    message_ids, content_ids = _ids(request)
    for ids, model in ((message_ids, "message"), (content_ids, "contentpiece")):
        if ids and not request.user.has_perm(f"ai_assistants.change_{model}"):
            raise PermissionDenied
    try:
        with scoped(request.user) as scope:
            selection = select(scope, message_ids, content_ids)
    except SelectionError as error:
        messages.warning(request, str(error))
        return HttpResponseRedirect(reverse("admin:ai_assistants_message_changelist"))
    form, analysis, cost = QuestionForm(request.POST), None, {}
    if form.is_valid():
        run_id = uuid.uuid4().hex
        with usage_context(workflow_id=run_id), collected() as events, problems_shown(request):
            count_run(user_id=request.user.pk, org_id=selection.org_id)
            analysis = analyze(form.cleaned_data["question"], selection, user_id=request.user.pk)
        cost = _cost(request, events, run_id)
    return _page(request, form, selection, analysis, cost)


def _cost(request: HttpRequest, events: Sequence[Event], run_id: str) -> dict[str, Any]:
    """The page's variables about the calls just made; none without a call."""
    if not events:
        return {}
    measured = measure(events, run_id)
    with scoped(request.user) as scope:
        return {"measured": measured, **recorded_calls(scope, run_id, measured.spent.requests_count)}


def _ids(request: HttpRequest) -> tuple[list[int], list[uuid.UUID]]:
    try:
        return (
            [_id(given) for given in request.POST.getlist("message_ids")],
            [uuid.UUID(given) for given in request.POST.getlist("content_ids")],
        )
    except ValueError:
        raise Http404 from None


def _id(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError(text)
    return int(text)


def _errors(form: QuestionForm) -> list[dict[str, Any]]:
    field = form["question"]
    return [{"label": field.label, "id": field.id_for_label, "text": text} for text in field.errors]


def _page(
    request: HttpRequest,
    form: QuestionForm,
    selection: Selection,
    analysis: Analysis | None = None,
    cost: Mapping[str, Any] | None = None,
) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": gettext("A question about the texts chosen"),
        "form": form,
        "selection": selection,
        "analysis": analysis,
        "evidence": {str(text.pk) for text in analysis.evidence} if analysis else set(),
        "errors": _errors(form),
        **(cost or {}),
    }
    return render(request, "ai_assistants/question.html", context)
