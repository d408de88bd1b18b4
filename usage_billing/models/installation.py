"""The identity of a ledger: an outbox is drained into the ledger that it belongs to, and no other."""

import uuid

from django.db import models


class Installation(models.Model):
    """One row. It is made by the first drain, so a test's database and a copy that was set up anew have another id."""

    only = models.BooleanField(primary_key=True, default=True)
    ledger_id = models.UUIDField(default=uuid.uuid4)

    class Meta:
        db_table = "usage_installation"
        constraints = (models.CheckConstraint(name="installation_is_one_row", condition=models.Q(only=True)),)

    def __str__(self) -> str:
        return str(self.ledger_id)
