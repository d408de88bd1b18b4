"""Sends one organisation's digest of one week to each owner who subscribed to it, once.

An owner is noted as soon as the mail server has taken their e-mail. If the process dies in between, that one e-mail
goes out again when the claim has expired, with the same Message-ID. Noting the owner before sending could lose it.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from enum import Enum, auto
from smtplib import SMTPException
from typing import Any

from django.contrib.auth import get_user_model
from django.core.mail import get_connection
from django.db.models import Q
from django.utils import timezone

from ai_clients.assistants.content.wording import one_line
from ai_clients.assistants.digest.email import Rendered, message_to, render
from ai_clients.assistants.digest.figures import WeeklyDigest, weekly_digest_data
from ai_clients.assistants.digest.subscription import subscribers
from ai_clients.assistants.digest.summary import DigestSummary, write_summary
from ai_clients.assistants.digest.week import Week, last_full_week
from ai_clients.assistants.models import DigestDelivery
from usage_billing.models import Membership, Organization
from usage_billing.tenancy.scope import of_organization, within

logger = logging.getLogger(__name__)

CLAIM_FOR = timedelta(minutes=30)
"""A claim expires after this time: its run has died. The AI call and the e-mails take less."""


class Outcome(Enum):
    SENT = auto()
    ALREADY = auto()
    """Sent before, or being sent by another run."""
    QUIET = auto()
    """Nothing was called in either week."""
    NOBODY = auto()
    """No owner with an e-mail address has subscribed."""


class DeliveryError(Exception):
    """Some owners did not get their e-mail; a later run sends it to these."""


def send_digest(org_id: int, now: datetime) -> Outcome:
    """Send the last full week's digest to the subscribed owners who do not have it. Raises DeliveryError."""
    with within(of_organization(org_id)):
        org = Organization.objects.get(pk=org_id)
        week = last_full_week(org, now)
        if DigestDelivery.objects.filter(org=org, week=week.monday, sent_at__isnull=False).exists():
            return Outcome.ALREADY
        if not subscribed_owners(org):
            return Outcome.NOBODY
    digest = weekly_digest_data(org, week)
    if digest.is_quiet:
        return Outcome.QUIET
    delivery = claim(org, week)
    if delivery is None:
        return Outcome.ALREADY
    try:
        rendered = render(digest, _summary(delivery, digest))
        failures = _send(delivery, digest, rendered)
    except BaseException as error:
        _close(delivery, error=f"{type(error).__name__}: {error}")
        raise
    _close(delivery, error="; ".join(failures))
    if failures:
        raise DeliveryError("; ".join(failures))
    return Outcome.SENT


def subscribed_owners(org: Organization) -> list[Any]:
    """The owners with an e-mail address who subscribed, one for each address."""
    memberships = Membership.objects.filter(org=org, role=Membership.Role.OWNER).order_by("pk")
    user_ids = list(memberships.values_list("user_id", flat=True))
    users = get_user_model()._default_manager.filter(is_active=True).in_bulk(set(user_ids) & subscribers(org))
    by_address: dict[str, Any] = {}
    for user in (users[user_id] for user_id in user_ids if user_id in users):
        by_address.setdefault(user.email.casefold(), user)
    return [person for address, person in by_address.items() if address]


def claim(org: Organization, week: Week) -> DigestDelivery | None:
    """The delivery, claimed for this run; None if another run has claimed or finished it."""
    now = timezone.now()
    with within(of_organization(org.pk)):
        delivery, _ = DigestDelivery.objects.get_or_create(org=org, week=week.monday)
        free = DigestDelivery.objects.filter(Q(claimed_at=None) | Q(claimed_at__lt=now - CLAIM_FOR), sent_at=None)
        if not free.filter(pk=delivery.pk, org=org).update(claimed_at=now):
            return None
        delivery.refresh_from_db()
        return delivery


def _summary(delivery: DigestDelivery, digest: WeeklyDigest) -> DigestSummary | None:
    """The model's summary, paid for once; None if there is none, and the numbers go out alone."""
    if delivery.summary is not None:
        return DigestSummary.model_validate(delivery.summary)
    if not digest.now.requests_count:
        return None
    try:
        summary = write_summary(digest)
    except Exception:
        logger.exception("The digest of %s goes out without a summary.", digest.org.slug)
        return None
    delivery.summary = summary.model_dump()
    _save(delivery, "summary")
    return summary


def _send(delivery: DigestDelivery, digest: WeeklyDigest, rendered: Rendered) -> list[str]:
    """Send to those who do not have it yet, over one connection; return the failures, with their addresses."""
    with within(of_organization(delivery.org_id)):
        recipients = subscribed_owners(digest.org)
    failures = []
    with get_connection() as connection:
        for owner in recipients:
            if owner.pk in delivery.delivered_to:
                continue
            message = message_to(owner, rendered, digest)
            message.connection = connection
            try:
                message.send()
            except (SMTPException, OSError, ValueError) as error:  # ValueError: not an address, or one of two lines
                logger.warning("The digest of %s did not go to %s: %s", digest.org.slug, owner.email, error)
                failures.append(f"{owner.email}: {type(error).__name__}")
                connection.close()  # the next one gets a connection of its own
                continue
            delivery.delivered_to = [*delivery.delivered_to, owner.pk]
            _save(delivery, "delivered_to")
    return failures


def _close(delivery: DigestDelivery, *, error: str) -> None:
    """Give the claim back; without an error the digest counts as sent."""
    delivery.claimed_at = None
    delivery.error = one_line(error, 300)
    delivery.sent_at = None if error else timezone.now()
    _save(delivery, "claimed_at", "error", "sent_at")


def _save(delivery: DigestDelivery, *fields: str) -> None:
    with within(of_organization(delivery.org_id)):
        delivery.save(update_fields=fields)
