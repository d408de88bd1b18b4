"""Budgets: limits of spending, and the leases that reserve parts of them for processes."""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from usage_billing.models.fields import money
from usage_billing.models.organization import Organization

SCOPE = ("user_id", "agent_id", "request_type", "ai_provider", "ai_model", "tag_key", "tag_value")
"""Columns that narrow a budget to some calls of its organisation; NULL or empty: any."""
DEFAULT_THRESHOLDS = (50, 80, 100)


def default_thresholds() -> list[int]:
    return list(DEFAULT_THRESHOLDS)


def validate_thresholds(shares: object) -> None:
    """Raise `ValidationError` unless these are different whole per cents, in rising order."""
    if (
        not isinstance(shares, list)
        or not all(isinstance(share, int) and not isinstance(share, bool) and 0 < share <= 1000 for share in shares)
        or shares != sorted(set(shares))
    ):
        raise ValidationError(_("Write whole per cents in rising order, such as [50, 80, 100]."))


class Budget(models.Model):
    """How much the calls of an organisation, or some of them, may cost in a window, and what happens beyond it.

    limit: in `unit`: USD, RUB, tokens or calls. Windows are those of the organisation's billing days; a `total` counts
    from `starts_on`. thresholds: shares of the limit, in per cent, at which people are told. when_unavailable: whether
    calls go on when no process can ask the database. replacement: `provider:model`, for the mode `downgrade`.
    is_superadmins: a superadmin has set it; owners see it and cannot change it.
    """

    class Window(models.TextChoices):
        DAY = "day", _("day")
        WEEK = "week", _("week")
        MONTH = "month", _("month")
        TOTAL = "total", _("total")

    class Unit(models.TextChoices):
        USD = "usd", "USD"
        RUB = "rub", "RUB"
        TOKENS = "tokens", _("tokens")
        CALLS = "calls", _("calls")

    class Mode(models.TextChoices):
        ALERT = "alert", _("alert only")
        STOP = "stop", _("stop")
        DOWNGRADE = "downgrade", _("use a cheaper model")

    class WhenUnavailable(models.TextChoices):
        OPEN = "open", _("let calls through")
        CLOSED = "closed", _("refuse calls")

    org = models.ForeignKey(
        Organization,
        on_delete=models.CASCADE,
        db_index=False,
        related_name="budgets",
        verbose_name=_("organisation"),
    )
    name = models.CharField(_("name"), max_length=100)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("user"),
    )
    agent_id = models.CharField(_("agent"), max_length=100, blank=True, default="")
    request_type = models.CharField(_("request type"), max_length=100, blank=True, default="")
    ai_provider = models.CharField(_("provider"), max_length=50, blank=True, default="")
    ai_model = models.CharField(_("model"), max_length=200, blank=True, default="")
    tag_key = models.CharField(_("tag"), max_length=40, blank=True, default="")
    tag_value = models.CharField(_("value of the tag"), max_length=100, blank=True, default="")
    window = models.CharField(_("window"), max_length=5, choices=Window.choices, default=Window.MONTH)
    starts_on = models.DateField(_("first day"))
    limit = money(_("limit"))
    unit = models.CharField(_("unit"), max_length=6, choices=Unit.choices, default=Unit.USD)
    mode = models.CharField(_("mode"), max_length=9, choices=Mode.choices, default=Mode.ALERT)
    replacement = models.CharField(_("cheaper model"), max_length=250, blank=True, default="")
    thresholds = models.JSONField(_("shares"), default=default_thresholds, blank=True, validators=[validate_thresholds])
    when_unavailable = models.CharField(
        _("without the database"),
        max_length=6,
        choices=WhenUnavailable.choices,
        default=WhenUnavailable.OPEN,
    )
    is_active = models.BooleanField(_("active"), default=True)
    is_superadmins = models.BooleanField(_("set by a superadmin"), default=False, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        db_table = "usage_budget"
        ordering = ("name", "id")
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")
        constraints = (
            models.UniqueConstraint(
                fields=("org", "name"),
                name="usage_budget_name",
                violation_error_message=_("The organisation has a budget of this name already."),
            ),
            models.CheckConstraint(condition=models.Q(limit__gt=Decimal(0)), name="usage_budget_limit"),
            models.CheckConstraint(
                condition=~models.Q(mode="downgrade") | ~models.Q(replacement=""), name="usage_budget_replacement"
            ),
            models.CheckConstraint(
                condition=models.Q(tag_key="", tag_value="") | ~models.Q(tag_key="") & ~models.Q(tag_value=""),
                name="usage_budget_tag",
            ),
        )

    def __str__(self) -> str:
        return self.name


class BudgetLock(models.Model):
    """The row that a process updates to be the only one that takes or returns leases of a budget.

    The budget's own row would not do: the web's role may not write a budget that a superadmin has set.
    """

    pk = models.CompositePrimaryKey("org_id", "budget_id")
    org = models.ForeignKey(Organization, on_delete=models.CASCADE, db_index=False, related_name="+")
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, db_index=False, related_name="+")
    turns = models.BigIntegerField(default=0)

    class Meta:
        db_table = "usage_budget_lock"

    def __str__(self) -> str:
        return str(self.budget_id)


class BudgetLease(models.Model):
    """A part of a budget that one process may spend without asking again.

    granted: in `unit`, the budget's when it was taken. What it reserves is `granted` less its settled holds, until it
    is deleted, or until the budget counts in another unit. first_day: of the window that it belongs to. holder: the
    process, for people who look. expires_at: its process moves it on; after it no call may use the lease. outbox: the
    id of the outbox where the process's calls wait: the lease goes when those are in the ledger.
    """

    org = models.ForeignKey(Organization, on_delete=models.CASCADE, db_index=False, related_name="+")
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, db_index=False, related_name="leases")
    first_day = models.DateField()
    unit = models.CharField(max_length=6, choices=Budget.Unit.choices, default=Budget.Unit.USD)
    granted = money()
    holder = models.CharField(max_length=200)
    outbox = models.CharField(max_length=32, default="")
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "usage_budget_lease"
        indexes = (models.Index(fields=("budget", "first_day"), name="usage_budget_lease_of"),)

    def __str__(self) -> str:
        return f"{self.granted} of {self.budget_id}"


class SettledHold(models.Model):
    """The hold of a call that the ledger has: the same event may come twice, and its hold is settled once.

    number: of the hold within its lease. The ledger inserts it in the transaction of the record, and locks no lease:
    it may come when the lease is gone.
    """

    pk = models.CompositePrimaryKey("org_id", "lease_id", "number")
    org = models.ForeignKey(Organization, on_delete=models.CASCADE, db_index=False, related_name="+")
    lease = models.ForeignKey(
        BudgetLease, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="settled"
    )
    number = models.IntegerField()
    amount = money()

    class Meta:
        db_table = "usage_settled_hold"

    def __str__(self) -> str:
        return f"{self.lease_id}/{self.number}"
