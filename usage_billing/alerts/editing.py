"""Creates, changes and deletes alert channels and rules, and says who sees which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from usage_billing.alerts import slack_channel, webhook_channel
from usage_billing.alerts.validation import clean_channel, clean_rule
from usage_billing.budgets.access import NotAllowedError
from usage_billing.models import AlertChannel, AlertFiring, AlertRoute, AlertRule, Budget, Organization
from usage_billing.models.database import atomic
from usage_billing.models.encryption import DecryptionError
from usage_billing.tenancy.scope import EVERYTHING, Scope, within

CHANNEL_FIELDS = ("name", "kind", "target", "secret", "language", "is_active")
RULE_FIELDS = ("name", "kind", "budget_id", "scope", "by", "step", "bound", "renotify_hours", "is_active")
WATCHED = ("budget_id", "scope", "by", "step")
"""What a rule watches: its alerts were about something else if one of these changes."""

Row = TypeVar("Row", AlertChannel, AlertRule, AlertFiring)


def visible_channels(scope: Scope) -> QuerySet[AlertChannel]:
    """The channels that a person may see and change: superadmins all, owners those of their organisations."""
    return _of(AlertChannel.objects.select_related("org"), scope)


def visible_rules(scope: Scope) -> QuerySet[AlertRule]:
    """The rules that a person may see and change, as channels."""
    return _of(AlertRule.objects.select_related("org").prefetch_related("channels"), scope)


def visible_firings(scope: Scope) -> QuerySet[AlertFiring]:
    """The alerts that a person may see, as channels."""
    return _of(AlertFiring.objects.select_related("org").prefetch_related("deliveries"), scope)


def save_channel(channel: AlertChannel, *, scope: Scope, values: Mapping[str, Any]) -> str:
    """Create or change a channel: its `CHANNEL_FIELDS`. Returns the secret that was made up; empty if none was.

    A signed webhook without a secret gets one; the address of a Slack-compatible one becomes its secret. Raises
    `ValidationError` by field, and `NotAllowedError`.
    """
    _check_may_change(scope, channel.org_id)
    _assign(channel, values, CHANNEL_FIELDS)
    made_up = ""
    # Not read, which would fail for a secret whose key is gone.
    if channel.kind == AlertChannel.Kind.WEBHOOK and not channel.__dict__.get("secret"):
        channel.secret = made_up = webhook_channel.new_secret()
    _check(channel, AlertChannel.objects.all(), clean_channel)
    if channel.kind == AlertChannel.Kind.SLACK:
        slack_channel.hide_address(channel)
    with _conflicts_told(), atomic():
        _write(channel)
    return made_up


def save_rule(
    rule: AlertRule, *, scope: Scope, values: Mapping[str, Any], channel_ids: Iterable[int] | None = None
) -> None:
    """Create or change a rule: its `RULE_FIELDS`, and the channels that it goes to; None leaves them as they are.

    The kind of a rule does not change: its earlier alerts are told in words of that kind. Where it watches something
    else than before, its alerts end. Raises `ValidationError` by field, and `NotAllowedError`.
    """
    _check_may_change(scope, rule.org_id)
    if not rule._state.adding and values.get("kind", rule.kind) != rule.kind:
        raise ValidationError({"kind": gettext("The kind of a rule does not change. Set up another rule.")})
    before = [getattr(rule, name) for name in WATCHED]
    _assign(rule, values, RULE_FIELDS)
    # One that is not there is refused below, like one of another organisation.
    rule.budget = None if rule.budget_id is None else Budget.objects.filter(pk=rule.budget_id).first()
    channels = None if channel_ids is None else _channels(rule, {*channel_ids})
    _check(rule, AlertRule.objects.all(), clean_rule)
    with _conflicts_told(), atomic():
        _write(rule)
        if before != [getattr(rule, name) for name in WATCHED]:
            _end_alerts(rule)
        if channels is not None:
            AlertRoute.objects.filter(rule=rule).exclude(channel__in=channels).delete()
            there = set(AlertRoute.objects.filter(rule=rule).values_list("channel_id", flat=True))
            AlertRoute.objects.bulk_create(
                AlertRoute(org_id=rule.org_id, rule=rule, channel=each) for each in channels if each.pk not in there
            )


def delete(row: AlertChannel | AlertRule, *, scope: Scope) -> None:
    """Delete a channel with its deliveries, or a rule with its alerts. Raises `NotAllowedError`."""
    _check_may_change(scope, row.org_id)
    # The web's role may not delete what was told.
    with within(EVERYTHING):
        row.delete()


def org_of_new(scope: Scope, org: Organization | None) -> Organization | None:
    """Return the organisation of a new channel or rule. Raises `NotAllowedError`: None is the superadmins'."""
    _check_may_change(scope, None if org is None else org.pk)
    return org


def _write(row: AlertChannel | AlertRule) -> None:
    """Insert or update. A plain `save` would insert again what somebody else has deleted meanwhile."""
    if not row._state.adding and not type(row)._default_manager.select_for_update().filter(pk=row.pk).exists():
        raise _changed_meanwhile()
    row.save()


@contextmanager
def _conflicts_told() -> Iterator[None]:
    """Tell of another request that was quicker: it took the name, or deleted what this one names."""
    try:
        yield
    except IntegrityError as error:
        raise _changed_meanwhile() from error


def _changed_meanwhile() -> ValidationError:
    return ValidationError(gettext("Somebody else has changed this at the same time. Look at it and try again."))


def _end_alerts(rule: AlertRule) -> None:
    """End the alerts about what the rule watched; nobody is told."""
    # The web's role may not write alerts.
    with within(EVERYTHING):
        AlertFiring.objects.filter(rule=rule, state=AlertFiring.State.FIRING).update(
            state=AlertFiring.State.RESOLVED, resolved_at=timezone.now(), ended=AlertFiring.Ended.UNWATCHED
        )


def _of(rows: QuerySet[Row], scope: Scope) -> QuerySet[Row]:
    return rows if scope.everything else rows.filter(org_id__in=scope.owned_org_ids)


def _check_may_change(scope: Scope, org_id: int | None) -> None:
    if scope.everything:
        return
    if org_id is None:
        text = gettext("Only superadmins set up alerts of the whole installation. Name an organisation.")
        raise NotAllowedError("not_a_superadmin", text)
    if org_id not in scope.owned_org_ids:
        raise NotAllowedError("not_an_owner", gettext("Only an owner of the organisation can set up its alerts."))


def _assign(row: AlertChannel | AlertRule, values: Mapping[str, Any], fields: Iterable[str]) -> None:
    if unknown := set(values) - {*fields}:
        raise TypeError(f"Not editable: {', '.join(sorted(unknown))}")
    for name, value in values.items():
        setattr(row, name, value)


def _check(row: Any, others: QuerySet[Any], clean: Callable[[Any], None]) -> None:
    """Raise the problems of all fields at once."""
    problems: dict[str, list[Any]] = {}
    checks: list[Callable[[], None]] = [lambda: row.clean_fields(exclude=["org", "budget"]), lambda: clean(row)]
    for check in checks:
        try:
            check()
        except DecryptionError as error:
            problems["secret"] = [str(error)]
        except ValidationError as error:
            for name, texts in error.update_error_dict({}).items():
                problems.setdefault(name, texts)
    if others.filter(org_id=row.org_id, name=row.name).exclude(pk=row.pk).exists():
        problems.setdefault("name", [gettext("There is one of this name already.")])
    if problems:
        raise ValidationError(problems)


def _channels(rule: AlertRule, ids: set[int]) -> list[AlertChannel]:
    found = list(AlertChannel.objects.filter(org_id=rule.org_id, pk__in=ids))
    if len(found) < len(ids):
        missing = sorted(ids - {channel.pk for channel in found})
        text = gettext("Choose channels of the same organisation. These are none: %(ids)s.")
        raise ValidationError({"channels": text % {"ids": ", ".join(map(str, missing))}})
    return found
