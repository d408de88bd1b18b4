"""Sends the messages that wait in the table of deliveries, each once as far as the other side lets us know.

A process claims a message by a conditional update: it moves `next_attempt_at` to when the claim expires. If the process
is killed, another one sends the message then, with the same id. No transaction is open while a message is sent.
"""

from __future__ import annotations

import logging
import random
import time
from collections import defaultdict
from datetime import datetime, timedelta

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from usage_billing.alerts import email_channel, slack_channel, telegram_channel, webhook_channel
from usage_billing.alerts.messages import Message, compose
from usage_billing.alerts.problems import DeliveryError
from usage_billing.alerts.recipients import of_channel
from usage_billing.models import AlertChannel, AlertDelivery, AlertFiring
from usage_billing.models.encryption import DecryptionError
from usage_billing.tenancy.scope import EVERYTHING, within

logger = logging.getLogger(__name__)

CLAIM_FOR = timedelta(minutes=2)
"""A claim expires after this time: its process has died. A message takes 10 s by HTTP, and as long as `EMAIL_TIMEOUT`
allows by mail."""
FIRST_PAUSE = timedelta(seconds=30)
"""After the first attempt; twice as long after each further one."""
LONGEST_PAUSE = timedelta(hours=2)
GIVE_UP_AFTER = timedelta(days=1)
JITTER = 0.2
"""A part of a pause by which it differs, so that messages to a server that was away do not come all at once."""
AT_ONCE = 100
SENDING_S = 30.0
"""After so long no further message is begun in one call: whoever sends evaluates alerts too."""
OF_ONE_ORG_S = 5.0
"""After so long an organisation's messages wait for the next call: a hundred channels that hang hold up their own."""
KEPT = timedelta(days=90)
ALERTS_KEPT = timedelta(days=365)

WAITING, SENT, FAILED = AlertDelivery.State.WAITING, AlertDelivery.State.SENT, AlertDelivery.State.FAILED


def send_due(limit: int = AT_ONCE) -> list[AlertDelivery]:
    """Send the messages whose time has come. Returns those that were tried, with their new state.

    A channel that fails is left alone until the next call, and so is an organisation that has used its time: one that
    hangs holds up the others for 10 s, not for each of its messages.
    """
    tried: list[AlertDelivery] = []
    failing: set[int] = set()
    seconds: dict[int | None, float] = defaultdict(float)
    until = time.monotonic() + SENDING_S
    while len(tried) < limit and (began := time.monotonic()) <= until:
        slow = {org for org, used in seconds.items() if used > OF_ONE_ORG_S}
        delivery = _claimed_next(timezone.now(), failing, slow)
        if delivery is None:
            break
        _attempt(delivery)
        tried.append(delivery)
        seconds[delivery.org_id] += time.monotonic() - began
        if delivery.state == WAITING and delivery.channel_id is not None:
            failing.add(delivery.channel_id)
    return tried


def send_test(channel: AlertChannel) -> list[AlertDelivery]:
    """Send a test now, once: one delivery for each address. Their `state` and `problem` say what came of it.

    Call it outside of a transaction, in a view that is marked `outside_scope`: it calls the channel's server.
    """
    now = timezone.now()
    with within(EVERYTHING):
        deliveries = AlertDelivery.objects.bulk_create(
            AlertDelivery(
                org_id=channel.org_id,
                channel=channel,
                recipient=each.address,
                event=AlertDelivery.Event.TEST,
                # Claimed already; if this process dies, the drain sends it.
                attempts=1,
                next_attempt_at=now + CLAIM_FOR,
                created_at=now,
            )
            for each in of_channel(channel)
        )
    for delivery in deliveries:
        _attempt(delivery)
    return deliveries


def prune(now: datetime) -> int:
    """Delete deliveries after `KEPT`, and alerts that have been over for `ALERTS_KEPT`. Returns how many."""
    with within(EVERYTHING):
        old = AlertDelivery.objects.filter(created_at__lt=now - KEPT).exclude(state=WAITING)
        deleted = old.delete()[0]
        over = AlertFiring.objects.filter(state=AlertFiring.State.RESOLVED, resolved_at__lt=now - ALERTS_KEPT)
        return deleted + over.delete()[0]


# ── Claiming ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _sendable(now: datetime) -> QuerySet[AlertDelivery]:
    """Those that wait and are due; the end of an alert waits until its beginning has arrived or was given up."""
    earlier = AlertDelivery.objects.filter(
        Q(channel=OuterRef("channel")) | ~Q(recipient=""),
        firing=OuterRef("firing"),
        recipient=OuterRef("recipient"),
        state=WAITING,
        pk__lt=OuterRef("pk"),
    )
    return AlertDelivery.objects.filter(~Exists(earlier), state=WAITING, next_attempt_at__lte=now)


def _claimed_next(now: datetime, failing: set[int], slow: set[int | None]) -> AlertDelivery | None:
    """The next delivery, claimed for this process; None if there is none. One that another process has is no more due.

    failing, slow: channels and organisations that are left alone.
    """
    with within(EVERYTHING):
        free = _sendable(now).exclude(channel__in=failing).exclude(org__in=slow - {None})
        if None in slow:
            free = free.exclude(org=None)
        while (pk := free.order_by("next_attempt_at", "pk").values_list("pk", flat=True).first()) is not None:
            waiting = AlertDelivery.objects.filter(pk=pk, state=WAITING, next_attempt_at__lte=now)
            if waiting.update(attempts=F("attempts") + 1, next_attempt_at=now + CLAIM_FOR):
                return AlertDelivery.objects.filter(pk=pk).first()
        return None


# ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _attempt(delivery: AlertDelivery) -> None:
    """Send a claimed delivery and note what came of it."""
    try:
        _send(delivery)
    except AlertDelivery.DoesNotExist:
        return  # its alert or channel was deleted meanwhile
    except DeliveryError as problem:
        _note_problem(delivery, problem, timezone.now())
    except (DecryptionError, ImproperlyConfigured) as problem:
        # Another process may have the key.
        _note_problem(delivery, DeliveryError(str(problem)), timezone.now())
    except Exception as error:
        logger.exception("An alert could not be sent (delivery %d).", delivery.pk)
        _note_problem(delivery, DeliveryError(f"An error of this program: {type(error).__name__}."), timezone.now())
    else:
        delivery.state, delivery.sent_at, delivery.problem = SENT, timezone.now(), ""
        _save(delivery)


def _send(delivery: AlertDelivery) -> None:
    now = timezone.now()
    with within(EVERYTHING):
        found = AlertDelivery.objects.select_related(
            "org", "channel", "firing__rule", "firing__budget", "firing__org"
        ).get(pk=delivery.pk)
        message = compose(found, now)
    _hand_over(found, message, now)


def _hand_over(delivery: AlertDelivery, message: Message, now: datetime) -> None:
    channel = delivery.channel
    if channel is not None and not channel.is_active and delivery.event != AlertDelivery.Event.TEST:
        raise DeliveryError("The channel was switched off.", is_final=True)
    match channel.kind if channel else AlertChannel.Kind.EMAIL:
        case AlertChannel.Kind.SLACK if channel:
            slack_channel.send(channel, message)
        case AlertChannel.Kind.TELEGRAM if channel:
            telegram_channel.send(channel, message)
        case AlertChannel.Kind.WEBHOOK if channel:
            webhook_channel.send(channel, delivery, message, now)
        case _:
            email_channel.send(delivery, message)


def _note_problem(delivery: AlertDelivery, problem: DeliveryError, now: datetime) -> None:
    pause = pause_after(delivery.attempts, problem.retry_after)
    is_test = delivery.event == AlertDelivery.Event.TEST
    is_over = problem.is_final or is_test or now + pause > delivery.created_at + GIVE_UP_AFTER
    delivery.state, delivery.problem = FAILED if is_over else WAITING, str(problem)[:500]
    delivery.next_attempt_at = now + pause
    _save(delivery)
    if is_over:
        # The problem may hold a person's address: it stays in the table.
        logger.warning("An alert was not delivered, and is given up (delivery %d).", delivery.pk)


def pause_after(attempts: int, retry_after: timedelta | None = None) -> timedelta:
    """How long to wait after so many attempts: twice as long each time, with jitter, and as long as was asked for."""
    pause: timedelta = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
    return max(pause * random.uniform(1 - JITTER, 1 + JITTER), retry_after or timedelta(0))  # noqa: S311 - no secret


def _save(delivery: AlertDelivery) -> None:
    """Note the outcome, unless the claim has expired and another process has tried since."""
    with within(EVERYTHING):
        mine = AlertDelivery.objects.filter(pk=delivery.pk, attempts=delivery.attempts)
        mine.update(
            state=delivery.state,
            problem=delivery.problem,
            sent_at=delivery.sent_at,
            next_attempt_at=delivery.next_attempt_at,
        )
