"""Owners who do not want the weekly digest."""

from django.conf import settings
from django.db import models


class DigestRefusal(models.Model):
    """An owner of the organisation gets no digest of it. Without a row, an owner gets it."""

    org = models.ForeignKey("usage_billing.Organization", on_delete=models.CASCADE, db_index=False, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")

    class Meta:
        db_table = "ai_digest_refusal"
        constraints = (models.UniqueConstraint(fields=("org", "user"), name="digest_refusal_org_user"),)

    def __str__(self) -> str:
        return f"{self.org} · {self.user}"
