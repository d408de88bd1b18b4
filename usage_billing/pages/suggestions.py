"""Values that a form suggests: those of the calls of the last months, in the reader's scope."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from usage_billing import reports
from usage_billing.budgets.validation import REPLACING
from usage_billing.models import Membership
from usage_billing.reports import TAG, Period
from usage_billing.reports.totals import COST_MEASURES
from usage_billing.tenancy.scope import Scope

SEEN_DAYS = 92
"""For how many days a value stays among the suggestions after its last call."""
MOST = 100
"""Suggestions of a field: the values that cost most."""
MOST_TAG_KEYS = 20


class SuggestingInput(forms.TextInput):
    """A text field that offers `suggestions` in a `<datalist>`, which needs no script, and takes any other text too."""

    suggestions: Iterable[str] = ()

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        id_ = f"{(attrs or {}).get('id', name)}-suggestions"
        field = super().render(name, value, {**(attrs or {}), "list": id_, "autocomplete": "off"}, renderer)
        options = format_html_join("", '<option value="{}"></option>', ((text,) for text in self.suggestions))
        return format_html('{}<datalist id="{}">{}</datalist>', field, id_, options)


def suggest(form: forms.BaseForm, scope: Scope, today: date, org_id: int | None) -> None:
    """Fill the suggesting fields of the form. One query for each, two more for tags."""
    filters = {} if org_id is None else {"org_id": org_id}
    columns = {
        "agent_id": "agent_id",
        "request_type": "request_type",
        "ai_provider": "ai_provider",
        "ai_model": "ai_model",
    }
    for name, column in columns.items():
        fill(form, name, _values(scope, column, today, filters))
    fill(form, "user", user_names(scope, org_id))
    if "tag_key" in form.fields:
        keys = reports.tag_keys_by_use(scope, filters, MOST_TAG_KEYS)
        fill(form, "tag_key", keys)
        fill(form, "tag_value", (value for key in keys[:3] for value in _values(scope, TAG + key, today, filters)))


def suggest_models(form: forms.BaseForm, name: str, scope: Scope, today: date, org_id: int | None) -> None:
    """Fill a field that takes `provider:model` with the models that may replace others."""
    filters = {} if org_id is None else {"org_id": org_id}
    period = Period(today - timedelta(days=SEEN_DAYS))
    by = ("ai_provider", "ai_model")
    rows = reports.totals(scope, by=by, filters=filters, period=period, limit=MOST, measures=COST_MEASURES)
    found = ((row["ai_provider"], row["ai_model"]) for row in rows)
    fill(form, name, (f"{provider}:{model}" for provider, model in found if provider in REPLACING and model))


def fill(form: forms.BaseForm, name: str, values: Iterable[str]) -> None:
    widget = form.fields[name].widget if name in form.fields else None
    if isinstance(widget, SuggestingInput):
        widget.suggestions = sorted(set(filter(None, values)), key=str.casefold)


def _values(scope: Scope, column: str, today: date, filters: dict[str, Any]) -> list[str]:
    period = Period(today - timedelta(days=SEEN_DAYS))
    rows = reports.totals(scope, by=(column,), filters=filters, period=period, limit=MOST, measures=COST_MEASURES)
    return [row[column] or "" for row in rows]


def user_names(scope: Scope, org_id: int | None) -> list[str]:
    """The log-in names of the members of the organisation, or of all in scope."""
    memberships = Membership.objects.all()
    if org_id is not None:
        memberships = memberships.filter(org_id=org_id)
    elif not scope.everything:
        memberships = memberships.filter(org_id__in=scope.org_ids)
    ids = [*memberships.order_by("-pk").values_list("user_id", flat=True)[: 5 * MOST]]
    users = get_user_model()
    rows = users._default_manager.filter(pk__in=ids).values_list(users.USERNAME_FIELD, flat=True)
    return [str(name) for name in rows]
