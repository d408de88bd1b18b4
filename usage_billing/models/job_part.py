"""The ledger's notes about jobs: batches and other work whose calls may be told before the job itself is known."""

from django.db import models


class JobPart(models.Model):
    """A part of a job, as events told it. `job` and `part` are ids that the provider at `host` gave.

    Only the ledger's role reads these rows: one organisation may read the results of another's batch.
    """

    class Kind(models.TextChoices):
        FILE = "file"
        """`part` is a file with results of the job."""
        CALL = "call"
        """`part` is the request id of a call that waits for the record of whoever began the job."""
        END = "end"
        """All results of the job were read before its record came."""
        LISTED = "list"
        """A list told the job's end before its record came: `event` is that."""

    host = models.CharField(max_length=300)
    job = models.CharField(max_length=200)
    kind = models.CharField(max_length=4, choices=Kind.choices)
    part = models.CharField(max_length=200)
    event = models.TextField(default="")

    class Meta:
        db_table = "usage_job_part"
        constraints = (models.UniqueConstraint(fields=("job", "part", "kind", "host"), name="usage_job_part_once"),)
        indexes = (models.Index(fields=("part", "job"), name="usage_job_part_part"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.part} of {self.job}"
