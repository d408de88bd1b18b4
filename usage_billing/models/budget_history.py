"""What changed in budgets, and what people asked for."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from usage_billing.models.budget import Budget
from usage_billing.models.fields import money
from usage_billing.models.organization import Organization


class BudgetChange(models.Model):
    """One change of a budget: who, when, and each changed field with its value before and after, as text.

    It outlives its budget: `budget_name` says which it was. by: a name, because it outlives the user too.
    """

    org = models.ForeignKey(Organization, on_delete=models.CASCADE, db_index=False, related_name="+")
    budget = models.ForeignKey(
        Budget, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="changes"
    )
    budget_name = models.CharField(_("budget"), max_length=100)
    by = models.CharField(_("by"), max_length=150)
    at = models.DateTimeField(_("at"), default=timezone.now)
    fields = models.JSONField(_("changes"), default=dict)

    class Meta:
        db_table = "usage_budget_change"
        ordering = ("-at", "-id")
        verbose_name = _("change of a budget")
        verbose_name_plural = _("changes of budgets")
        indexes = (models.Index(fields=("org", "budget", "-at"), name="usage_budget_change_at"),)

    def __str__(self) -> str:
        return f"{self.budget_name}, {self.at:%Y-%m-%d}"


class BudgetRequest(models.Model):
    """A person asks for a higher limit; an owner grants it, for as much as they think right, or refuses.

    A person has one open request for a budget.
    """

    class State(models.TextChoices):
        OPEN = "open", _("open")
        GRANTED = "granted", _("granted")
        REFUSED = "refused", _("refused")

    org = models.ForeignKey(Organization, on_delete=models.CASCADE, db_index=False, related_name="+")
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, db_index=False, related_name="requests")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("user"),
    )
    limit = money(_("wanted limit"))
    reason = models.CharField(_("reason"), max_length=500, blank=True, default="")
    state = models.CharField(_("state"), max_length=7, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField(_("asked at"), default=timezone.now)
    answered_by = models.CharField(_("answered by"), max_length=150, blank=True, default="")
    answered_at = models.DateTimeField(_("answered at"), null=True, blank=True)

    class Meta:
        db_table = "usage_budget_request"
        ordering = ("-created_at", "-id")
        verbose_name = _("request for a higher limit")
        verbose_name_plural = _("requests for higher limits")
        indexes = (models.Index(fields=("org", "state", "-created_at"), name="usage_budget_request_open"),)
        constraints = (
            models.UniqueConstraint(
                fields=("org", "budget", "user"),
                condition=models.Q(state="open"),
                name="usage_budget_request_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.budget_id}: {self.limit}"
