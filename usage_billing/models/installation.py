"""The identity of a ledger, so that an outbox is never drained into another one."""

import uuid

from django.db import models


class Installation(models.Model):
    """A single row, created by the first drain. A test database or a newly created one therefore has a different id."""

    only = models.BooleanField(primary_key=True, default=True)
    ledger_id = models.UUIDField(default=uuid.uuid4)

    class Meta:
        db_table = "usage_installation"
        constraints = (models.CheckConstraint(name="installation_is_one_row", condition=models.Q(only=True)),)

    def __str__(self) -> str:
        return str(self.ledger_id)
