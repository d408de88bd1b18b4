"""What people write into channels and rules is checked here, for the API and the pages alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

from usage_billing.alerts import addresses, slack_channel, telegram_channel, webhook_channel
from usage_billing.alerts.call_readings import filters_of
from usage_billing.alerts.evaluation import OF_BUDGETS
from usage_billing.alerts.problems import DeliveryError
from usage_billing.alerts.recipients import of_channel
from usage_billing.conf import conf
from usage_billing.models import AlertChannel, AlertRule
from usage_billing.models.daily_usage import DIMENSIONS
from usage_billing.recording import tags
from usage_billing.reports import TAG

MOST_ADDRESSES = 20

Problem = tuple[str, Any]
"""Field, and what to write instead."""


def clean_channel(channel: AlertChannel) -> None:
    """Check kind, target, secret and language. Raises `ValidationError` by field."""
    check = _CHECKS.get(channel.kind)
    if check is None:
        raise ValidationError({"kind": _("Choose a kind of channel.")})
    problems = dict(check(channel))
    if channel.language and channel.language not in dict(settings.LANGUAGES):
        problems["language"] = _("Choose a language of the pages.")
    if problems:
        raise ValidationError(problems)


def clean_rule(rule: AlertRule) -> None:
    """Check budget, scope, `by` and bound against the kind. Raises `ValidationError` by field."""
    problems = dict(_of_rule(rule))
    if problems:
        raise ValidationError(problems)


# ── Channels ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _email(channel: AlertChannel) -> Iterator[Problem]:
    found = [each.address for each in of_channel(channel)]
    if not 0 < len(found) <= MOST_ADDRESSES:
        text = _("Write up to %(most)d e-mail addresses, with commas between them.")
        yield "target", ValidationError(text, params={"most": MOST_ADDRESSES})
    for address in found:
        try:
            validate_email(address)
        except ValidationError:
            text = _("“%(address)s” is no e-mail address.")
            yield "target", ValidationError(text, params={"address": address})


def _url(channel: AlertChannel) -> Iterator[Problem]:
    try:
        parts = addresses.split(channel.target)
    except DeliveryError:
        yield "target", _("Write an address such as https://example.com/hook, without a user and a password.")
        return
    host = parts.hostname or ""
    if not conf.ALERTS_ALLOW_PRIVATE_ADDRESSES and addresses.is_private_literal(host):
        # Names are resolved when a message is sent, and refused then.
        yield "target", _("This is a private address. Write one that the internet knows.")


def _slack(channel: AlertChannel) -> Iterator[Problem]:
    # Not read, which would fail for a secret whose key is gone.
    if channel.target.endswith(slack_channel.HIDDEN) and channel.__dict__.get("secret"):
        return iter(())
    return _url(channel)


def _telegram(channel: AlertChannel) -> Iterator[Problem]:
    if not telegram_channel.CHAT.fullmatch(channel.target.strip()):
        yield "target", _("Write the chat's number, such as -1001234567890, or @name of a public channel.")
    if not telegram_channel.TOKEN.fullmatch(channel.secret):
        yield "secret", _("Write the bot's token that @BotFather gave: 123456:ABC…")


def _webhook(channel: AlertChannel) -> Iterator[Problem]:
    yield from _url(channel)
    try:
        webhook_channel.key_of(channel.secret)
    except ValueError:
        yield "secret", _("Write whsec_ and 24 to 64 bytes in base64, or leave it to be made up.")


_CHECKS: Mapping[str, Callable[[AlertChannel], Iterator[Problem]]] = {
    AlertChannel.Kind.EMAIL: _email,
    AlertChannel.Kind.SLACK: _slack,
    AlertChannel.Kind.TELEGRAM: _telegram,
    AlertChannel.Kind.WEBHOOK: _webhook,
}

# ── Rules ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_rule(rule: AlertRule) -> Iterator[Problem]:
    if rule.kind not in AlertRule.Kind.values:
        yield "kind", _("Choose a kind of rule.")
    elif rule.kind in OF_BUDGETS:
        yield from _of_budget_rule(rule)
    else:
        yield from _of_call_rule(rule)
    if rule.kind == AlertRule.Kind.BACKLOG and rule.org_id is not None:
        yield "kind", _("The outbox is the installation's: only superadmins watch it.")
    can_be_nothing = rule.kind in (AlertRule.Kind.SPEND, AlertRule.Kind.FORECAST, AlertRule.Kind.BACKLOG)
    if rule.bound < 0 or (not rule.bound and not can_be_nothing):
        yield "bound", _("Write a number above zero.")


def _of_budget_rule(rule: AlertRule) -> Iterator[Problem]:
    if rule.budget is None or (rule.org_id is not None and rule.budget.org_id != rule.org_id):
        yield "budget", _("Choose a budget of the organisation.")
    if rule.scope or rule.by:
        yield "scope", _("A budget has its own calls: leave this empty.")


def _of_call_rule(rule: AlertRule) -> Iterator[Problem]:
    try:
        filters_of(AlertRule(scope=rule.scope))
    except (ValueError, TypeError, AttributeError):
        yield "scope", _("Write filters of reports with a value, or a list of values, each.")
    keys = [name.removeprefix(TAG) for name in rule.scope if name.startswith(TAG)]
    if not all(key and tags.key(key) == key for key in keys):
        text = _("The key of a tag has 1 to %(longest)d letters, digits and characters of “_ - . :”.")
        yield "scope", ValidationError(text, params={"longest": tags.KEY_LENGTH})
    if rule.by not in ("", *DIMENSIONS) or (rule.by and rule.kind == AlertRule.Kind.BACKLOG):
        yield "by", _("Choose one of the dimensions of reports, or leave it empty.")
    elif rule.kind == AlertRule.Kind.SILENCE and rule.by not in ("", "org_id"):
        yield "by", _("Silence is watched for each organisation, or for all calls together.")
