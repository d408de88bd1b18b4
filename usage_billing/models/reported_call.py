"""The ledger's notes about calls that other programs reported: the same call may be told again, in other words."""

from django.db import models


class ReportedCall(models.Model):
    """A reported call by its id, in whichever organisation it is, and by its span, where a span told it.

    A call that several spans told, beside each other, has several rows. ancestors: ids of the spans around it, as far
    as the export told them, nearest first. Only the ledger's role reads these rows: two organisations may report one
    call.
    """

    org_id = models.BigIntegerField()
    request_id = models.CharField(max_length=200)
    trace_id = models.CharField(max_length=32, default="")
    span_id = models.CharField(max_length=16, default="")
    ancestors = models.JSONField(default=list)

    class Meta:
        db_table = "usage_reported_call"
        constraints = (
            models.UniqueConstraint(fields=("request_id", "org_id", "span_id"), name="usage_reported_call_once"),
        )
        indexes = (
            models.Index(fields=("trace_id",), condition=~models.Q(trace_id=""), name="usage_reported_call_trace"),
        )

    def __str__(self) -> str:
        return self.request_id
