"""The forms of service tokens and provider keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from usage_billing.auth.provider_keys import LONGEST
from usage_billing.auth.service_tokens import LONGEST_LIFE, LONGEST_NAME
from usage_billing.models import ProviderKey, ServiceToken

ALL = "all"
"""The value of `org` that stands for all organisations."""
SCOPES: dict[str, Any] = {
    ServiceToken.Scope.INGEST: _("Send usage in: OpenTelemetry and events of other programs."),
    ServiceToken.Scope.PROXY: _("Call OpenAI and Anthropic by the proxy, with the provider keys that are saved here."),
    ServiceToken.Scope.READ: _("Read reports, calls, budgets and alerts, as an owner does."),
    ServiceToken.Scope.BUDGETS: _("Read, set and change budgets, and answer requests for higher limits."),
}
"""What each scope lets a program do, in one sentence."""
OVERLAPS = (("1", _("1 hour")), ("24", _("1 day")), ("168", _("7 days")))
"""Hours for which a rotated token goes on working."""


def _org_field() -> forms.ChoiceField:
    return forms.ChoiceField(label=_("Organisation"))


class OwnedForm(forms.Form):
    """A form for something that an organisation has, or all together. orgs: value → name."""

    def __init__(self, *args: Any, orgs: Mapping[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["org"].choices = [*orgs.items()]  # type: ignore[attr-defined]

    @property
    def org_id(self) -> int | None:
        given: str = self.cleaned_data["org"]
        return None if given == ALL else int(given)


class TokenForm(OwnedForm):
    """A new service token."""

    org = _org_field()
    name = forms.CharField(
        label=_("Name"),
        max_length=LONGEST_NAME,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=_("Of the program. Its calls get the tag service_token with this value."),
    )
    scopes = forms.MultipleChoiceField(
        label=_("The token may"), choices=[*SCOPES.items()], widget=forms.CheckboxSelectMultiple
    )
    allowed_models = forms.CharField(
        label=_("Models of the proxy"),
        required=False,
        max_length=20_000,
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "gpt-4.1-mini, claude-haiku-4-5"}),
        help_text=_("Those that it may call, with commas between them. Empty: all."),
    )
    days = forms.IntegerField(
        label=_("Expires after, days"),
        required=False,
        min_value=1,
        max_value=LONGEST_LIFE.days - 1,
        help_text=_("Empty: never. It can be revoked at any time."),
    )

    @property
    def values(self) -> dict[str, Any]:
        given = self.cleaned_data
        days = given["days"]
        return {
            "name": given["name"],
            "scopes": given["scopes"],
            "allowed_models": re.split(r"[,;\s]+", given["allowed_models"]),
            "expires_at": None if days is None else timezone.now() + timedelta(days=days),
        }


class RotateForm(forms.Form):
    overlap = forms.TypedChoiceField(
        label=_("The old token goes on working for"),
        choices=OVERLAPS,
        coerce=int,
        initial="24",
        widget=forms.RadioSelect,
    )


class KeyForm(OwnedForm):
    """A provider key. The secret is written only."""

    org = _org_field()
    provider = forms.ChoiceField(label=_("Provider"), choices=ProviderKey.Provider.choices)
    secret = forms.CharField(
        label=_("Key"),
        max_length=LONGEST,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("It is stored encrypted and not shown again. One that is there already is replaced."),
    )


def with_all(orgs: Mapping[int, str], *, for_superadmin: bool) -> dict[str, str]:
    """The choices of `org`: a superadmin may choose all organisations as well."""
    choices = {ALL: gettext("All organisations")} if for_superadmin else {}
    return choices | {str(org_id): name for org_id, name in orgs.items()}
