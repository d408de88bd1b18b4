"""Owners who want the weekly digest."""

from django.conf import settings
from django.db import models


class DigestSubscription(models.Model):
    """An owner of the organisation gets its digest. It ends when they stop to be an owner."""

    org = models.ForeignKey("usage_billing.Organization", on_delete=models.CASCADE, db_index=False, related_name="+")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )

    class Meta:
        db_table = "ai_digest_subscription"
        constraints = (models.UniqueConstraint(fields=("org", "user"), name="digest_subscription_org_user"),)

    def __str__(self) -> str:
        return f"{self.org} · {self.user}"
