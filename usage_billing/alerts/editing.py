"""Saves and deletes channels and rules, for the API and the pages alike."""

from __future__ import annotations

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils.translation import gettext

from usage_billing.alerts.validation import clean_channel, clean_rule
from usage_billing.models import AlertChannel, AlertRoute, AlertRule
from usage_billing.models.database import atomic
from usage_billing.tenancy.scope import EVERYTHING, within


def save_channel(channel: AlertChannel) -> None:
    """Check and save a channel. Raises `ValidationError` by field."""
    clean_channel(channel)
    try:
        with atomic():
            channel.save()
    except IntegrityError as error:
        raise _taken() from error


def save_rule(rule: AlertRule, channels: Iterable[AlertChannel]) -> None:
    """Check and save a rule and the channels that its alerts go to. Raises `ValidationError` by field."""
    clean_rule(rule)
    try:
        with atomic():
            rule.save()
            AlertRoute.objects.filter(rule=rule).delete()
            AlertRoute.objects.bulk_create(AlertRoute(org_id=rule.org_id, rule=rule, channel=each) for each in channels)
    except IntegrityError as error:
        raise _taken() from error


def delete(row: AlertChannel | AlertRule) -> None:
    """Delete a rule or a channel that the person may change, with its alerts and their deliveries.

    The web's role may not delete what was told.
    """
    with within(EVERYTHING):
        row.delete()


def _taken() -> ValidationError:
    return ValidationError({"name": gettext("There is one of this name already.")})
