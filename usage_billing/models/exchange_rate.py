"""USD/RUB exchange rates, day by day."""

from decimal import Decimal

from django.db import models
from django.utils.translation import gettext_lazy as _


class ExchangeRate(models.Model):
    """The rate of one day, RUB per USD. A day without a row (a weekend) has the latest rate before it."""

    class Source(models.TextChoices):
        CBR = "cbr", _("Bank of Russia")
        MANUAL = "manual", _("entered by hand")
        DEMO = "demo", _("demonstration")

    date = models.DateField(_("date"), primary_key=True)
    usd_rub = models.DecimalField(_("RUB per USD"), max_digits=18, decimal_places=8)
    source = models.CharField(_("source"), max_length=10, choices=Source.choices, default=Source.MANUAL)

    class Meta:
        db_table = "usage_exchange_rate"
        ordering = ("-date",)
        verbose_name = _("USD/RUB exchange rate")
        verbose_name_plural = _("USD/RUB exchange rates")
        constraints = (
            models.CheckConstraint(condition=models.Q(usd_rub__gt=Decimal(0)), name="exchange_rate_positive"),
        )

    def __str__(self) -> str:
        return f"{self.date}: {self.usd_rub}"
