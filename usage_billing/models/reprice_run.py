"""Log of repricings: who changed past costs, when, why and by how much."""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import models
from django.utils.translation import gettext_lazy as _

from usage_billing.models.fields import money
from usage_billing.models.organization import Organization

MEASURES = (
    "records_seen",
    "records_changed",
    "usd_before",
    "usd_after",
    "rub_before",
    "rub_after",
    "unpriced_before",
    "unpriced_after",
    "unpriced_rub_before",
    "unpriced_rub_after",
)
"""Columns summed over a run's batches. All but the first count only changed records."""


SILENT_AFTER = timedelta(minutes=2)
"""A run that has done no batch for so long is interrupted. A batch takes a second or two."""


class RepriceRun(models.Model):
    """One run of `reprice_usage` or of the admin's page, updated in the transaction of each batch: exact after a kill.

    Amounts are sums of the known ones; `unpriced_…` counts the unknown ones. `last_date` and `last_id` name the last
    record seen, where `--resume` continues while `finished_at` is NULL. The web may only insert a waiting run: a
    process that may write the ledger does the work.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        INTERRUPTED = "interrupted", _("interrupted")
        FAILED = "failed", _("stopped by an error")
        FINISHED = "finished", _("finished")

    by = models.CharField(_("by"), max_length=150)
    reason = models.TextField(_("reason"))
    date_from = models.DateField(_("first day"))
    date_to = models.DateField(_("last day"))
    provider = models.CharField(_("provider"), max_length=50, blank=True, default="", db_default="")
    model = models.CharField(
        _("model"),
        max_length=200,
        blank=True,
        default="",
        help_text=_("As recorded, or a pattern in which * matches anything. Empty: all models."),
    )
    org = models.ForeignKey(
        Organization,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="reprice_runs",
        verbose_name=_("organisation"),
    )
    with_rates = models.BooleanField(_("exchange rates too"), default=False)
    only_unpriced = models.BooleanField(_("unpriced calls only"), default=False, db_default=False)
    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    worked_at = models.DateTimeField(_("last batch at"), null=True, blank=True, editable=False)
    problem = models.CharField(_("problem"), max_length=500, blank=True, default="", db_default="", editable=False)
    continues = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="continued_by",
        verbose_name=_("continues the repricing"),
    )

    records_seen = models.BigIntegerField(_("calls seen"), default=0)
    records_changed = models.BigIntegerField(_("calls changed"), default=0)
    usd_before = money(_("USD before"), default=Decimal(0))
    usd_after = money(_("USD after"), default=Decimal(0))
    rub_before = money(_("RUB before"), default=Decimal(0))
    rub_after = money(_("RUB after"), default=Decimal(0))
    unpriced_before = models.BigIntegerField(_("without USD before"), default=0)
    unpriced_after = models.BigIntegerField(_("without USD after"), default=0)
    unpriced_rub_before = models.BigIntegerField(_("without RUB before"), default=0)
    unpriced_rub_after = models.BigIntegerField(_("without RUB after"), default=0)

    last_date = models.DateField(_("last billing day done"), null=True, blank=True)
    last_id = models.BigIntegerField(_("last call done"), default=0)

    class Meta:
        db_table = "usage_reprice_run"
        ordering = ("-started_at", "-id")
        verbose_name = _("repricing")
        verbose_name_plural = _("repricings")
        constraints = (
            models.CheckConstraint(name="reprice_run_said_why", condition=~models.Q(reason="") & ~models.Q(by="")),
            models.CheckConstraint(name="reprice_run_days", condition=models.Q(date_from__lte=models.F("date_to"))),
        )

    def __str__(self) -> str:
        return f"{self.date_from} – {self.date_to}, {self.by}"

    def state(self, now: datetime) -> "RepriceRun.State":
        """Return how far the run is. A waiting run is one that no process has begun."""
        if self.finished_at is not None:
            return self.State.FINISHED
        if self.problem:
            return self.State.FAILED
        if self.worked_at is None:
            return self.State.WAITING
        return self.State.RUNNING if now - self.worked_at < SILENT_AFTER else self.State.INTERRUPTED
