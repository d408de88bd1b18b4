"""The log of weekly digests."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class DigestDelivery(models.Model):
    """One week's digest of one organisation: the row is claimed before anything is sent, so that one run sends it.

    `week` is its Monday. `delivered_to` has the ids of the users who got it. `summary` is the model's, kept so that a
    second attempt does not pay for another. A claim without `sent_at` expires, and another run takes over.
    """

    org = models.ForeignKey(
        "usage_billing.Organization",
        on_delete=models.CASCADE,
        db_index=False,
        related_name="digest_deliveries",
        verbose_name=_("organisation"),
    )
    week = models.DateField(_("week from"))
    claimed_at = models.DateTimeField(_("claimed at"), null=True)
    sent_at = models.DateTimeField(_("sent at"), null=True)
    delivered_to = models.JSONField(_("delivered to"), default=list)
    summary = models.JSONField(_("summary"), null=True)
    error = models.CharField(_("error"), max_length=300, default="")

    class Meta:
        db_table = "ai_digest_delivery"
        ordering = ("-week", "org")
        verbose_name = _("weekly digest")
        verbose_name_plural = _("weekly digests")
        constraints = (models.UniqueConstraint(fields=("org", "week"), name="digest_delivery_org_week"),)

    def __str__(self) -> str:
        return f"{self.org} · {self.week}"
