"""The forms of alert rules and channels. Each kind of rule has the fields that matter to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.conf import settings
from django.forms.boundfield import BoundField
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from usage_billing.models import AlertChannel, AlertRule, Budget
from usage_billing.pages.alert_words import BOUNDS, BY, OF_BUDGET, USUAL_BOUNDS
from usage_billing.pages.budget_form import typed
from usage_billing.pages.typed_fields import AmountField
from usage_billing.reports import TAG

FILTERS = ("agent_id", "request_type", "ai_provider", "ai_model")
NARROWS = (*FILTERS, "tag_key", "tag_value")
Kind = AlertRule.Kind
STEPPED = (Kind.SPEND, Kind.UNPRICED, Kind.ERRORS, Kind.P95_TIME)
"""Kinds that look at an hour or a day."""


class RuleForm(forms.Form):
    """A rule of one kind for one organisation, or for the installation."""

    name = forms.CharField(label=_("Name"), max_length=100, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    budget = forms.ModelChoiceField(label=_("Budget"), queryset=Budget.objects.none())
    bound = AmountField(label="", min_value=0)
    step = forms.ChoiceField(label=_("Looks at"), choices=AlertRule.Step.choices, initial=AlertRule.Step.DAY)
    by = forms.ChoiceField(label=_("Watches"), required=False)
    agent_id = typed(_("Agent"), 100)
    request_type = typed(_("Request type"), 100)
    ai_provider = typed(_("Provider"), 50)
    ai_model = typed(_("Model"), 200)
    tag_key = typed(_("Tag"), 40)
    tag_value = typed(_("Value of the tag"), 100)
    renotify_hours = forms.IntegerField(
        label=_("Tell again after, hours"),
        required=False,
        min_value=1,
        max_value=10_000,
        help_text=_("While it goes on. Empty: tell once."),
    )
    channels = forms.ModelMultipleChoiceField(
        label=_("Channels"),
        queryset=AlertChannel.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None: all channels of the organisation; without any, e-mail to its owners."),
    )
    is_active = forms.BooleanField(label=pgettext_lazy("rule", "Active"), required=False, initial=True)

    def __init__(self, *args: Any, kind: str, org_id: int | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.kind = kind
        self.fields["budget"].queryset = Budget.objects.filter(org_id=org_id)  # type: ignore[attr-defined]
        self.fields["channels"].queryset = AlertChannel.objects.filter(org_id=org_id)  # type: ignore[attr-defined]
        self.fields["bound"].label = BOUNDS[kind]
        self.fields["bound"].initial = USUAL_BOUNDS[kind]
        offered = [each for each in BY if _can_be_watched(each, kind, org_id)]
        self.fields["by"].choices = [  # type: ignore[attr-defined]
            ("", gettext("all calls together")),
            *((each, BY[each]) for each in offered),
        ]
        for name in _left_out(kind, has_choice=bool(offered)):
            del self.fields[name]
        if "channels" in self.fields and not self.fields["channels"].queryset.exists():  # type: ignore[attr-defined]
            del self.fields["channels"]

    @property
    def main(self) -> Iterator[BoundField]:
        return (self[name] for name in self.fields if name not in NARROWS)

    @property
    def narrows(self) -> list[BoundField]:
        return [self[name] for name in NARROWS if name in self.fields]

    @property
    def is_narrowed(self) -> bool:
        return any(field.value() or field.errors for field in self.narrows)

    def values_of(self, rule: AlertRule) -> dict[str, Any]:
        """The fields of the rule. Of its filters those that the form does not have stay as they are."""
        given = self.cleaned_data
        names = ("name", "bound", "step", "by", "renotify_hours", "is_active")
        values = {name: given[name] for name in names if name in self.fields}
        if "budget" in self.fields:
            values["budget_id"] = given["budget"].pk
        if self.narrows:
            values["scope"] = self._scope(rule.scope)
        return values

    def _scope(self, before: dict[str, Any]) -> dict[str, Any]:
        given = {name: self.cleaned_data[name].strip() for name in NARROWS}
        found = {name: value for name, value in before.items() if not _is_in_form(name)}
        found |= {name: given[name] for name in FILTERS if given[name]}
        if given["tag_key"]:
            found[TAG + given["tag_key"]] = given["tag_value"]
        # Of several values the form shows the first.
        kept = {name: before[name] for name, value in found.items() if name in before and _one(before[name]) == value}
        return found | kept


def _can_be_watched(by: str, kind: str, org_id: int | None) -> bool:
    """Whether a rule of the kind can watch each value of the dimension by itself."""
    return org_id is None if by == "org_id" else kind != Kind.SILENCE


def _left_out(kind: str, *, has_choice: bool) -> set[str]:
    """The fields that mean nothing to rules of this kind."""
    left: set[str] = set()
    if kind not in OF_BUDGET:
        left.add("budget")
    if kind not in STEPPED:
        left.add("step")
    if kind in OF_BUDGET or kind == Kind.BACKLOG:
        left |= {"by", *NARROWS}
    if kind == Kind.SILENCE and not has_choice:
        left.add("by")
    return left


def _is_in_form(name: str) -> bool:
    return name in FILTERS or name.startswith(TAG)


def initial_of_rule(rule: AlertRule) -> dict[str, Any]:
    tags = [(name.removeprefix(TAG), value) for name, value in rule.scope.items() if name.startswith(TAG)]
    key, value = tags[0] if tags else ("", "")
    return {
        **{name: getattr(rule, name) for name in ("name", "bound", "step", "by", "renotify_hours", "is_active")},
        **{name: _one(rule.scope.get(name, "")) for name in FILTERS},
        "budget": rule.budget_id,
        "tag_key": key,
        "tag_value": _one(value),
        "channels": [channel.pk for channel in rule.channels.all()] if rule.pk else [],
    }


def _one(value: Any) -> str:
    """The only or the first value of a filter."""
    return str(next(iter(value), "")) if isinstance(value, list) else str(value)


# ── Channels ─────────────────────────────────────────────────────────────────────────────────────────────────────

CHANNELS: dict[str, Any] = {
    AlertChannel.Kind.EMAIL: _("Sends an e-mail to each address."),
    AlertChannel.Kind.SLACK: _("Posts to a webhook of Slack, Mattermost, Rocket.Chat and others that take its format."),
    AlertChannel.Kind.TELEGRAM: _("A bot of yours writes to a chat."),
    AlertChannel.Kind.WEBHOOK: _("Posts JSON to a program of yours, signed by the rules of Standard Webhooks."),
}
"""What each kind of channel does, in one sentence."""
TARGETS: dict[str, Any] = {
    AlertChannel.Kind.EMAIL: (_("E-mail addresses"), _("Several with commas between them.")),
    AlertChannel.Kind.SLACK: (_("Address of the webhook"), ""),
    AlertChannel.Kind.TELEGRAM: (
        _("Id of the chat"),
        _("A number, or @name of a public channel. The bot must be in it."),
    ),
    AlertChannel.Kind.WEBHOOK: (_("Address of the webhook"), ""),
}
SECRETS: dict[str, Any] = {
    AlertChannel.Kind.TELEGRAM: (_("Token of the bot"), _("From @BotFather.")),
    AlertChannel.Kind.WEBHOOK: (
        _("Key that signs"),
        _("It begins with whsec_. Your program checks the signature with it. Empty: it is made up and shown once."),
    ),
}
KEPT = _("There is one already; it is not shown. Leave this empty to keep it.")


class ChannelForm(forms.Form):
    """A channel of one kind. The secret is written only. made_secret: one that was made up, to be shown once."""

    name = forms.CharField(label=_("Name"), max_length=100, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    target = forms.CharField(max_length=1000, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    secret = forms.CharField(
        max_length=500, required=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )
    language = forms.ChoiceField(label=_("Language of the messages"), required=False)
    is_active = forms.BooleanField(label=pgettext_lazy("channel", "Active"), required=False, initial=True)

    def __init__(self, *args: Any, kind: str, has_secret: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self.made_secret = ""
        target, secret = self.fields["target"], self.fields["secret"]
        target.label, target.help_text = TARGETS[kind]
        if kind in SECRETS:
            secret.label, secret.help_text = SECRETS[kind]
            secret.help_text = KEPT if has_secret else secret.help_text
        else:
            del self.fields["secret"]
        self.fields["language"].choices = [  # type: ignore[attr-defined]
            ("", gettext("that of the organisation")),
            *settings.LANGUAGES,
        ]

    @property
    def main(self) -> Iterator[BoundField]:
        return iter(self)

    @property
    def values(self) -> dict[str, Any]:
        """The fields of the channel; an empty secret leaves the one that there is."""
        given = self.cleaned_data
        values = {name: given[name] for name in ("name", "target", "language", "is_active")}
        secret = given.get("secret", "").strip()
        return {**values, "secret": secret} if secret else values


def initial_of_channel(channel: AlertChannel) -> dict[str, Any]:
    return {name: getattr(channel, name) for name in ("name", "target", "language", "is_active")}
