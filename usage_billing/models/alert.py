"""Alerts: where they go, what raises them, which are raised, and how each was delivered."""

from __future__ import annotations

import uuid
from decimal import Decimal

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from usage_billing.models.budget import Budget
from usage_billing.models.encryption import EncryptedField
from usage_billing.models.fields import money
from usage_billing.models.organization import Organization


class AlertChannel(models.Model):
    """A place that alerts of an organisation go to; without an organisation, those of the installation (superadmins).

    target: e-mail addresses with commas between them, the URL of a webhook, or the chat of a Telegram bot. secret: the
    key that signs a webhook, or the bot's token; encrypted (`models.encryption`).
    """

    class Kind(models.TextChoices):
        EMAIL = "email", _("e-mail")
        SLACK = "slack", _("Slack-compatible webhook")
        TELEGRAM = "telegram", "Telegram"
        WEBHOOK = "webhook", _("signed webhook")

    org = models.ForeignKey(Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    target = models.CharField(_("target"), max_length=1000)
    secret = EncryptedField(_("secret"), blank=True, default="")
    language = models.CharField(_("language"), max_length=10, blank=True, default="")
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        db_table = "usage_alert_channel"
        ordering = ("name", "id")
        verbose_name = _("alert channel")
        verbose_name_plural = _("alert channels")
        constraints = (models.UniqueConstraint(fields=("org", "name"), name="usage_alert_channel_name"),)

    def __str__(self) -> str:
        return self.name


class AlertRule(models.Model):
    """What raises an alert. bound: in per cent, USD, RUB, ms, events or hours, as the kind says.

    `budget_share` and `forecast` watch a budget; the others the calls that `scope` narrows: filters of reports, name →
    value or list of values. by: the dimension whose values are watched one by one (`org_id`, `ai_model`); empty: all
    together. step: the hour or the day that is looked at, the present one and the one before it.
    """

    class Kind(models.TextChoices):
        BUDGET_SHARE = "budget_share", _("share of a budget")
        FORECAST = "forecast", _("forecast beyond a budget")
        SPEND = "spend", _("spend far above the usual")
        UNPRICED = "unpriced", _("share of unpriced calls")
        ERRORS = "errors", _("share of failed calls")
        P95_TIME = "p95_time", _("p95 time")
        BACKLOG = "backlog", _("events that wait in the outbox")
        SILENCE = "silence", _("no calls")

    class Step(models.TextChoices):
        HOUR = "hour", _("hour")
        DAY = "day", _("day")

    org = models.ForeignKey(Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, null=True, blank=True, related_name="rules")
    scope = models.JSONField(_("calls"), default=dict, blank=True)
    by = models.CharField(pgettext_lazy("rule", "each"), max_length=20, blank=True, default="")
    step = models.CharField(_("step"), max_length=4, choices=Step.choices, default=Step.DAY)
    bound = money(_("bound"), default=Decimal(0))
    renotify_hours = models.PositiveIntegerField(_("told again after, hours"), null=True, blank=True)
    channels = models.ManyToManyField(
        AlertChannel, through="AlertRoute", related_name="rules", verbose_name=_("channels"), blank=True
    )
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        db_table = "usage_alert_rule"
        ordering = ("name", "id")
        verbose_name = _("alert rule")
        verbose_name_plural = _("alert rules")
        constraints = (
            models.UniqueConstraint(fields=("org", "name"), name="usage_alert_rule_name"),
            models.CheckConstraint(
                condition=~models.Q(kind__in=("budget_share", "forecast")) | models.Q(budget__isnull=False),
                name="usage_alert_rule_budget",
            ),
        )

    def __str__(self) -> str:
        return self.name


class AlertRoute(models.Model):
    """A channel that a rule's alerts go to. A rule without one uses all channels of its organisation."""

    org = models.ForeignKey(Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="+")
    channel = models.ForeignKey(AlertChannel, on_delete=models.CASCADE, related_name="+")

    class Meta:
        db_table = "usage_alert_route"
        constraints = (models.UniqueConstraint(fields=("org", "rule", "channel"), name="usage_alert_route_once"),)

    def __str__(self) -> str:
        return f"{self.rule_id} → {self.channel_id}"


class AlertFiring(models.Model):
    """An alert: one for each crossing, of a rule, or of one of a budget's own `thresholds` (then `rule` is NULL).

    key: what crossed, such as `2026-11-01/80` (window and share of a budget) or a model's name; empty if there is one
    thing only. value, bound: when it began, in the unit of the budget or of the rule's kind. It is told once, again as
    the rule says, and once more when it is over.
    """

    class State(models.TextChoices):
        FIRING = "firing", _("firing")
        RESOLVED = "resolved", _("resolved")

    class Ended(models.TextChoices):
        BELOW = "below", _("it is below again")
        WINDOW = "window", _("its window has ended")
        UNWATCHED = "unwatched", _("nothing watches it any more")

    org = models.ForeignKey(Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, null=True, blank=True, related_name="firings")
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, null=True, blank=True, related_name="firings")
    key = models.CharField(_("what"), max_length=300)
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.FIRING)
    value = money(_("value"), null=True)
    bound = money(_("bound"))
    began_at = models.DateTimeField(_("began at"), default=timezone.now)
    told_at = models.DateTimeField(_("told at"), null=True, blank=True)
    resolved_at = models.DateTimeField(_("resolved at"), null=True, blank=True)
    ended = models.CharField(_("why it is over"), max_length=9, choices=Ended.choices, blank=True, default="")

    class Meta:
        db_table = "usage_alert_firing"
        ordering = ("-began_at", "-id")
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        constraints = (
            models.UniqueConstraint(
                fields=("rule", "key"),
                condition=models.Q(state="firing", rule__isnull=False),
                name="usage_alert_firing_once",
            ),
            models.UniqueConstraint(
                fields=("budget", "key"),
                condition=models.Q(state="firing", rule__isnull=True),
                name="usage_alert_firing_of_budget",
            ),
            models.CheckConstraint(
                condition=models.Q(rule__isnull=False) | models.Q(budget__isnull=False),
                name="usage_alert_firing_of_something",
            ),
        )

    def __str__(self) -> str:
        return f"{self.rule_id}: {self.key}"


class AlertDelivery(models.Model):
    """A message to one channel or address about an alert, tried until it is taken or given up.

    recipient: an e-mail address: one of the channel's, or an owner's where no channel is set up (then `channel` is
    NULL). value: when it was written. message_id: the same at every attempt. next_attempt_at: while it is being sent,
    when another process may take it over.
    """

    class State(models.TextChoices):
        WAITING = "waiting", pgettext_lazy("delivery", "waiting")
        SENT = "sent", _("sent")
        FAILED = "failed", _("given up")

    class Event(models.TextChoices):
        FIRING = "firing", _("firing")
        STILL_FIRING = "still_firing", _("still firing")
        RESOLVED = "resolved", _("resolved")
        TEST = "test", _("test")

    org = models.ForeignKey(Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    firing = models.ForeignKey(AlertFiring, on_delete=models.CASCADE, null=True, related_name="deliveries")
    channel = models.ForeignKey(
        AlertChannel, on_delete=models.CASCADE, null=True, blank=True, related_name="deliveries"
    )
    recipient = models.CharField(_("address"), max_length=254, blank=True, default="")
    message_id = models.UUIDField(default=uuid.uuid4, editable=False)
    value = money(_("value"), null=True)
    event = models.CharField(_("event"), max_length=12, choices=Event.choices)
    state = models.CharField(_("state"), max_length=7, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt at"), default=timezone.now)
    problem = models.CharField(_("problem"), max_length=500, blank=True, default="")
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)

    class Meta:
        db_table = "usage_alert_delivery"
        ordering = ("-created_at", "-id")
        verbose_name = _("delivery of an alert")
        verbose_name_plural = _("deliveries of alerts")
        indexes = (
            models.Index(
                fields=("next_attempt_at",), condition=models.Q(state="waiting"), name="usage_alert_delivery_waiting"
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(channel__isnull=False) | ~models.Q(recipient=""),
                name="usage_alert_delivery_to",
            ),
        )

    def __str__(self) -> str:
        return f"{self.channel_id}: {self.event}"
