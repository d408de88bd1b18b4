"""Names of deleted users: a usage record outlives its user, and a person must be able to read who it was."""

from django.conf import settings
from django.db import models

from usage_billing.models.organization import Organization


class DeletedUser(models.Model):
    """The name of a deleted user, in each organisation that the user made calls for."""

    org = models.ForeignKey(Organization, on_delete=models.CASCADE, db_index=False, related_name="+")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    name = models.CharField(max_length=254)

    class Meta:
        db_table = "usage_deleted_user"
        constraints = (models.UniqueConstraint(fields=("user", "org"), name="usage_deleted_user_once"),)

    def __str__(self) -> str:
        return self.name
