"""The form that requests a run of repricing: a dry run comes first."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from usage_billing.ledger import repricing_requests
from usage_billing.ledger.repricing import Scope
from usage_billing.models import RepriceRun
from usage_billing.templatetags.amounts import written_day

RUN = "_run"
"""Name of the button that starts the run; any other button only shows what it would change."""
TOKEN = "seen_scope"  # noqa: S105 - the name of a field
"""Name of the hidden field that tells which calls the person has seen the dry run of."""


if TYPE_CHECKING:
    BaseForm = forms.ModelForm[RepriceRun]
else:
    BaseForm = forms.ModelForm


class RepriceForm(BaseForm):
    """Is valid only once its own values have had a dry run, and the button to start was used."""

    class Meta:
        model = RepriceRun
        fields = ("date_from", "date_to", "provider", "model", "org", "only_unpriced", "with_rates", "reason")
        help_texts = {
            "provider": _("As recorded, such as openai. Empty: all providers."),
            "org": _("Empty: all organisations."),
            "with_rates": _("Otherwise a call keeps its rate. A call without one gets the rate of its day."),
            "reason": _("Why past costs change; the log keeps it."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "reason" in self.fields:  # a dry run needs none
            self.fields["reason"].required = False

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        first, last = cleaned.get("date_from"), cleaned.get("date_to")
        if first is not None and last is not None and last < first:
            self.add_error("date_to", ValidationError(gettext("This day is before the first one.")))
        if RUN in self.data:
            self._expect_startable(cleaned)
        return cleaned

    def _expect_startable(self, cleaned: dict[str, Any]) -> None:
        if "reason" not in self.errors and not cleaned.get("reason", "").strip():
            self.add_error("reason", ValidationError(gettext("Write why the past costs change: the log keeps it.")))
        if (active := repricing_requests.active_run(timezone.now())) is not None:
            self.add_error(None, ValidationError(active_text(active)))

    def is_valid(self) -> bool:
        """Return whether the run may start."""
        return super().is_valid() and RUN in self.data and self.data.get(TOKEN) == self.token

    @property
    def is_sound(self) -> bool:
        """Whether the form names calls that a dry run can be shown for."""
        return self.is_bound and not {*self.errors} - {"reason", "__all__"}

    @property
    def scope(self) -> Scope:
        given = self.cleaned_data
        return Scope(
            given["date_from"],
            given["date_to"],
            given["model"].strip(),
            given["org"],
            given["with_rates"],
            given["only_unpriced"],
            given["provider"].strip().lower(),
        )

    @property
    def token(self) -> str:
        """Return a text that is another one for other calls."""
        return hashlib.sha256(str(sorted(self.scope.columns().items(), key=str)).encode()).hexdigest()


def active_text(run: RepriceRun) -> str:
    """Return why no other run may start now."""
    text = gettext("Repricing %(number)s by %(by)s is not finished: %(first)s to %(last)s. Wait for its end.")
    days = {"first": written_day(run.date_from), "last": written_day(run.date_to)}
    return text % {"number": run.pk, "by": run.by, **days}
