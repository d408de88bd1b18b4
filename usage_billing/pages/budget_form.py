"""The form of a budget, and the small forms that ask for more and answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.forms.boundfield import BoundField
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from usage_billing.models import Budget
from usage_billing.models.budget import DEFAULT_THRESHOLDS
from usage_billing.pages.suggestions import SuggestingInput
from usage_billing.pages.typed_fields import AmountField, SharesField

MODES = {
    Budget.Mode.ALERT: _("Only tells people when a threshold is passed. Every call goes through."),
    Budget.Mode.STOP: _("Refuses a call that might pass the limit, before it is sent to the provider."),
    Budget.Mode.DOWNGRADE: _(
        "Agents of this service go on with the cheaper model once the limit is reached. Other programs are only told."
    ),
}
"""What each mode does, in one sentence."""
MAIN = ("org", "name", "limit", "unit", "window", "starts_on")
NARROWS = ("user", "agent_id", "request_type", "ai_provider", "ai_model", "tag_key", "tag_value")
MORE = ("thresholds", "when_unavailable", "is_active")


def typed(label: Any, length: int) -> forms.CharField:
    """A text field with suggestions, that may stay empty."""
    return forms.CharField(label=label, max_length=length, required=False, widget=SuggestingInput())


class BudgetForm(forms.Form):
    """All that people choose of a budget. Its organisation cannot be changed."""

    org = forms.TypedChoiceField(label=_("Organisation"), coerce=int)
    name = forms.CharField(label=_("Name"), max_length=100, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    limit = AmountField(label=_("Limit"))
    unit = forms.ChoiceField(label=_("Unit"), choices=Budget.Unit.choices, initial=Budget.Unit.USD)
    window = forms.ChoiceField(
        label=_("Per"),
        choices=Budget.Window.choices,
        initial=Budget.Window.MONTH,
        help_text=_("By the billing days of the organisation. Weeks begin on Monday."),
    )
    starts_on = forms.DateField(
        label=_("First day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=_("Of a budget in total; the others begin with their day, week or month."),
    )
    mode = forms.ChoiceField(label=_("At the limit"), choices=Budget.Mode.choices, initial=Budget.Mode.ALERT)
    replacement = forms.CharField(
        label=_("Cheaper model"),
        max_length=250,
        required=False,
        widget=SuggestingInput(attrs={"placeholder": "openai:gpt-4.1-mini"}),
        help_text=_("Provider and model with a colon between them. For this mode only."),
    )
    user = typed(_("User"), 150)
    agent_id = typed(_("Agent"), 100)
    request_type = typed(_("Request type"), 100)
    ai_provider = typed(_("Provider"), 50)
    ai_model = typed(_("Model"), 200)
    tag_key = typed(_("Tag"), 40)
    tag_value = typed(_("Value of the tag"), 100)
    thresholds = SharesField(
        label=_("Thresholds, per cent of the limit"),
        initial=[*DEFAULT_THRESHOLDS],
        required=False,
        help_text=_("People are told once when each is passed, and when the forecast passes the limit."),
    )
    when_unavailable = forms.ChoiceField(
        label=_("If the database is away for long"),
        choices=Budget.WhenUnavailable.choices,
        initial=Budget.WhenUnavailable.OPEN,
        help_text=_("Matters to budgets that stop calls."),
    )
    is_active = forms.BooleanField(
        label=_("Active"), required=False, initial=True, help_text=_("A paused budget stops nothing and tells nothing.")
    )

    def __init__(self, *args: Any, orgs: Sequence[tuple[int, str]], was: Budget | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.was = was
        self.fields["org"].choices = list(orgs)  # type: ignore[attr-defined]
        if len(orgs) == 1:
            self.fields["org"].initial = orgs[0][0]
            self.fields["org"].widget = forms.HiddenInput()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("mode") == Budget.Mode.DOWNGRADE and not cleaned.get("replacement"):
            self.add_error("replacement", ValidationError(gettext("Name the model that is used from then on.")))
        if bool(cleaned.get("tag_key")) != bool(cleaned.get("tag_value")):
            missing = "tag_value" if cleaned.get("tag_key") else "tag_key"
            self.add_error(missing, ValidationError(gettext("A tag has a key and a value: give both, or none.")))
        return cleaned

    @property
    def values(self) -> dict[str, Any]:
        """Values of the model's fields; the user as an id."""
        given = {**self.cleaned_data}
        given["user_id"] = self._user_id(given.pop("user"))
        del given["org"]
        if given["starts_on"] is None:
            del given["starts_on"]
        if given["mode"] != Budget.Mode.DOWNGRADE:
            given["replacement"] = ""
        return given

    def _user_id(self, name: str) -> Any:
        """The id of the user of this log-in name; that of the budget if the name was not changed."""
        if not name:
            return None
        if self.was is not None and name == self.initial.get("user"):
            return self.was.user_id
        users = get_user_model()
        return users._default_manager.filter(**{users.USERNAME_FIELD: name}).values_list("pk", flat=True).first()

    def clean_user(self) -> str:
        name: str = self.cleaned_data["user"].strip()
        if name and self._user_id(name) is None:
            # The words of the service about a user of another organisation: it does not tell who exists elsewhere.
            raise ValidationError(gettext("This user is no member of the organisation and has no calls in it."))
        return name

    # ── The parts that the template draws ────────────────────────────────────────────────────────────────────────

    @property
    def main(self) -> Iterator[BoundField]:
        return (self[name] for name in MAIN if not self[name].is_hidden)

    @property
    def narrows(self) -> Iterator[BoundField]:
        return (self[name] for name in NARROWS)

    @property
    def more(self) -> Iterator[BoundField]:
        return (self[name] for name in MORE)

    @property
    def is_narrowed(self) -> bool:
        """Whether the folded part has a value or an error."""
        return any(self[name].value() or self[name].errors for name in NARROWS)

    @property
    def has_more_errors(self) -> bool:
        return any(self[name].errors for name in MORE)

    @property
    def modes(self) -> list[Mode]:
        chosen = self["mode"].value()
        return [Mode(str(mode), capfirst(str(mode.label)), str(text), mode == chosen) for mode, text in MODES.items()]


@dataclass(frozen=True)
class Mode:
    value: str
    label: str
    text: str
    is_chosen: bool


def initial_of(budget: Budget, user_name: str) -> dict[str, Any]:
    """What the form shows of a budget."""
    names = (*MAIN, *NARROWS, *MORE, "mode", "replacement")
    given = {name: getattr(budget, name) for name in names if name not in ("org", "user")}
    return {**given, "org": budget.org_id, "user": user_name}


class AskForm(forms.Form):
    """A person asks for a higher limit."""

    limit = AmountField(label=_("The limit that you need"))
    reason = forms.CharField(
        label=_("What for"),
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("The owner reads it before deciding."),
    )

    def __init__(self, *args: Any, budget: Budget, **options: Any) -> None:
        super().__init__(*args, **options)
        self.budget = budget

    def clean_limit(self) -> Any:
        limit = self.cleaned_data["limit"]
        if limit <= self.budget.limit:
            raise ValidationError(gettext("The budget has this limit already: ask for more than it."))
        return limit


class GrantForm(forms.Form):
    """An owner grants a limit, or refuses."""

    limit = AmountField(label=_("New limit"))
