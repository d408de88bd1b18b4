"""The pages that create, change, delete and test the rules and channels of alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from usage_billing.alerts import editing, send_test
from usage_billing.models import AlertChannel, AlertDelivery, AlertRule
from usage_billing.models.fields import LARGEST_ID
from usage_billing.pages import shell, suggestions
from usage_billing.pages.alert_forms import CHANNELS, ChannelForm, RuleForm, initial_of_channel, initial_of_rule
from usage_billing.pages.alert_words import KINDS
from usage_billing.pages.alerts import has_secret, org_name
from usage_billing.pages.budget_pages import orgs_of_owner, saved
from usage_billing.pages.names import Names
from usage_billing.pages.page import ALERTS, address
from usage_billing.tenancy.scope import Scope, scoped
from usage_billing.tenancy.views import scope_of_request

INSTALLATION = "installation"
"""The value of `org` that stands for no organisation."""


@dataclass(frozen=True)
class What:
    """Rules or channels: their kinds with a sentence each, and the words of their pages."""

    model: Any
    below: str
    kinds: Mapping[str, Any]
    new: Any
    created: Any
    changed: Any
    deleted: Any
    delete: Any


RULES = What(
    AlertRule,
    "rules",
    KINDS,
    _("New rule"),
    _("The rule “%(name)s” is set."),
    _("The rule “%(name)s” is changed."),
    _("The rule “%(name)s” is deleted."),
    _("Delete the rule “%(name)s”?"),
)
CHANNELS_ = What(
    AlertChannel,
    "channels",
    CHANNELS,
    _("New channel"),
    _("The channel “%(name)s” is set up. Send a test to see that messages arrive."),
    _("The channel “%(name)s” is changed."),
    _("The channel “%(name)s” is deleted."),
    _("Delete the channel “%(name)s”?"),
)


def new_rule(request: HttpRequest) -> HttpResponseBase:
    return _new(request, RULES, _rule_form)


def rule(request: HttpRequest, id: int) -> HttpResponseBase:
    return _change(request, RULES, id, _rule_form)


def delete_rule(request: HttpRequest, id: int) -> HttpResponseBase:
    return _delete(request, RULES, id)


def new_channel(request: HttpRequest) -> HttpResponseBase:
    return _new(request, CHANNELS_, _channel_form)


def channel(request: HttpRequest, id: int) -> HttpResponseBase:
    return _change(request, CHANNELS_, id, _channel_form)


def delete_channel(request: HttpRequest, id: int) -> HttpResponseBase:
    return _delete(request, CHANNELS_, id)


def test_channel(request: HttpRequest, id: int) -> HttpResponseBase:
    """Send a test and say what came of it. It runs outside the scope, because it waits for another server."""
    with scoped(request.user) as scope:
        found = _found(scope, CHANNELS_, id)
    back = address(ALERTS, for_superadmin=scope.everything)
    if found is None:
        return shell.not_found(request, gettext("There is no such channel, or you may not see it."))
    if request.method == "POST":
        _tell(request, found, send_test(found))
    return redirect(back)


def _tell(request: HttpRequest, channel: AlertChannel, deliveries: Iterable[AlertDelivery]) -> None:
    for delivery in deliveries:
        to = delivery.recipient or channel.name
        if delivery.state == AlertDelivery.State.SENT:
            messages.success(request, gettext("The test was sent to “%(name)s”.") % {"name": to})
        else:
            text = gettext("The test did not reach “%(name)s”: %(problem)s")
            messages.error(request, text % {"name": to, "problem": delivery.problem})


# ── Creating, changing, deleting ─────────────────────────────────────────────────────────────────────────────────

Form = Any
MakeForm = Callable[[HttpRequest, Any], Form]


def _new(request: HttpRequest, what: What, make: MakeForm) -> HttpResponseBase:
    """Choose the kind, and the organisation if there are several, then fill in the form of that kind."""
    scope = scope_of_request(request)
    owners = _owners(scope)
    if not owners:
        return shell.forbidden(request, gettext("Only an owner of the organisation can set up its alerts."))
    kind, org = request.GET.get("kind", ""), request.GET.get("org", "")
    given = org if org in owners else next(iter(owners)) if len(owners) == 1 else ""
    if kind not in what.kinds or not given:
        return _choose(request, what, owners, org, kind)
    row = what.model(kind=kind, org_id=None if given == INSTALLATION else int(given))
    return _answered(request, what, row, make, what.created, str(what.new))


def _change(request: HttpRequest, what: What, id: int, make: MakeForm) -> HttpResponseBase:
    row = _found(scope_of_request(request), what, id)
    if row is None:
        return _not_there(request)
    return _answered(request, what, row, make, what.changed, row.name)


def _delete(request: HttpRequest, what: What, id: int) -> HttpResponseBase:
    scope = scope_of_request(request)
    row = _found(scope, what, id)
    if row is None:
        return _not_there(request)
    base = address(ALERTS, for_superadmin=scope.everything)
    if request.method == "POST":
        name = row.name
        editing.delete(row, scope=scope)
        messages.success(request, what.deleted % {"name": name})
        return redirect(base)
    context = {
        "title": what.delete % {"name": row.name},
        "text": gettext("Its alerts and their deliveries are deleted with it. To pause it, make it inactive."),
        "submit": gettext("Delete"),
        "back": f"{base}/{what.below}/{row.pk}",
    }
    return render(request, "usage_billing/confirm.html", context)


def _answered(request: HttpRequest, what: What, row: Any, make: MakeForm, done: Any, title: str) -> HttpResponseBase:
    scope = scope_of_request(request)
    base = address(ALERTS, for_superadmin=scope.everything)
    form = make(request, row)
    if request.method == "POST" and form.is_valid() and _save(form, row, scope):
        messages.success(request, done % {"name": row.name})
        if secret := getattr(form, "made_secret", ""):
            text = gettext("The key that signs, which is shown only now: %(key)s")
            messages.success(request, text % {"key": secret})
        return redirect(base)
    known = Names(scope)
    context = {
        "title": title,
        "kind": capfirst(str(row.get_kind_display())),
        "kind_text": what.kinds[row.kind],
        "org": org_name(row.org_id, known),
        "form": form,
        "submit": gettext("Save"),
        "back": base,
        "delete_link": f"{base}/{what.below}/{row.pk}/delete" if row.pk else "",
    }
    return render(request, "usage_billing/alert_form.html", context)


def _save(form: Form, row: Any, scope: Scope) -> bool:
    """Save the rule or channel; what is wrong is in the form."""
    return bool(saved(form, lambda: _saved(form, row, scope)))


def _saved(form: Form, row: Any, scope: Scope) -> Any:
    if isinstance(row, AlertRule):
        channels = [channel.pk for channel in form.cleaned_data.get("channels") or ()]
        editing.save_rule(row, scope=scope, values=form.values_of(row), channel_ids=channels)
    else:
        form.made_secret = editing.save_channel(row, scope=scope, values=form.values)
    return row


def _rule_form(request: HttpRequest, rule: AlertRule) -> forms.Form:
    scope = scope_of_request(request)
    initial = initial_of_rule(rule) if rule.pk else None
    form = RuleForm(request.POST or None, initial=initial, kind=rule.kind, org_id=rule.org_id)
    suggestions.suggest(form, scope, scope.today(timezone.now()), rule.org_id)
    return form


def _channel_form(request: HttpRequest, channel: AlertChannel) -> forms.Form:
    initial = initial_of_channel(channel) if channel.pk else None
    return ChannelForm(request.POST or None, initial=initial, kind=channel.kind, has_secret=has_secret(channel))


def _choose(request: HttpRequest, what: What, owners: Mapping[str, str], org: str, kind: str) -> HttpResponse:
    names = dict(what.model.Kind.choices)
    context = {
        "title": what.new,
        "kinds": [
            (str(value), capfirst(str(names[value])), text, str(value) == kind)
            for value, text in what.kinds.items()
            if value != AlertRule.Kind.BACKLOG or INSTALLATION in owners
        ],
        "owners": owners if len(owners) > 1 else {},
        "org": org,
        "back": address(ALERTS, for_superadmin=scope_of_request(request).everything),
    }
    return render(request, "usage_billing/alert_kind.html", context)


def _owners(scope: Scope) -> dict[str, str]:
    """Whom the person may set alerts for: the installation, and open organisations."""
    owners = {INSTALLATION: capfirst(org_name(None, Names(scope)))} if scope.everything else {}
    return owners | {str(org_id): name for org_id, name in orgs_of_owner(scope).items()}


def _found(scope: Scope, what: What, id: int) -> Any:
    rows = editing.visible_rules(scope) if what is RULES else editing.visible_channels(scope)
    return rows.filter(pk=id).first() if id <= LARGEST_ID else None


def _not_there(request: HttpRequest) -> HttpResponse:
    return shell.not_found(request, gettext("There is no such rule or channel, or you may not see it."))
