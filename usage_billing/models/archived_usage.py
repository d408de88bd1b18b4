"""Sums of archived calls by the dimensions that no rollup keeps, so that these totals outlive the calls."""

from django.conf import settings
from django.db import models

from usage_billing.models.archive_file import ArchiveFile
from usage_billing.models.daily_usage import DIMENSIONS, Measured
from usage_billing.models.fields import NamedIndex
from usage_billing.models.organization import Organization

OF_CALLS_ONLY = (
    "workflow_id",
    "content_id",
    "provider_organization",
    "provider_project",
    "api_key_fingerprint",
    "provider_user_profile",
)
"""Columns of calls that rollups leave out: reports add these up from the calls, and from this table. An index finds
those of a workflow, of a piece of content, and of a period."""

KEY = ("usage_date", *DIMENSIONS, *OF_CALLS_ONLY, "tags")


class ArchivedUsage(Measured):
    """The sums of some archived calls with one `KEY`. Several rows may have the same key; their sum counts.

    A restored call is subtracted by a row with negative sums, until its file is restored as a whole.
    """

    file = models.ForeignKey(ArchiveFile, on_delete=models.CASCADE, related_name="+")
    usage_date = models.DateField()
    org = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="+")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    agent_id = models.CharField(max_length=100)
    request_type = models.CharField(max_length=100)
    ai_provider = models.CharField(max_length=50)
    ai_model = models.CharField(max_length=200)
    status = models.CharField(max_length=10)
    workflow_id = models.CharField(max_length=100, null=True)  # noqa: DJ001 - as in the calls
    content_id = models.CharField(max_length=100, null=True)  # noqa: DJ001 - as in the calls
    provider_organization = models.CharField(max_length=64)
    provider_project = models.CharField(max_length=64)
    api_key_fingerprint = models.CharField(max_length=16)
    provider_user_profile = models.CharField(max_length=64)
    tags = models.JSONField(default=dict, db_default={})

    class Meta:
        db_table = "usage_archived_usage"
        indexes = (
            NamedIndex(
                fields=("workflow_id",),
                name="idx_archived_usage_workflow",
                condition=models.Q(workflow_id__isnull=False),
            ),
            NamedIndex(
                fields=("content_id",), name="idx_archived_usage_content", condition=models.Q(content_id__isnull=False)
            ),
            NamedIndex(fields=("org", "usage_date"), name="idx_archived_usage_org_date"),
            NamedIndex(fields=("usage_date",), name="idx_archived_usage_date"),
        )

    def __str__(self) -> str:
        return f"{self.usage_date} {self.workflow_id or self.content_id or ''}"
