"""Lists the archive's files: the calls of which month are in which file instead of the ledger."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from usage_billing.models.fields import money

SUMS = ("calls", "prompt_tokens", "completion_tokens", "total_tokens", "cost_usd", "cost_rub")
"""Columns that sum up a file's calls."""


class ArchiveFile(models.Model):
    """A Parquet file of one month's calls. Calls that arrive after archiving go to another part of the month.

    The row exists as long as calls of the file may be missing in the ledger: it is inserted before the first call is
    removed, and deleted when the last is restored. `changed_ids`: calls that changed after they were written to the
    file; they stayed in the ledger, and their rows in the file are void. `path` is relative to `USAGE_ARCHIVE_DIR`.
    """

    class State(models.TextChoices):
        REMOVING = "removing", _("being archived")
        ARCHIVED = "archived", _("archived")
        RESTORING = "restoring", _("being restored")

    month = models.DateField(_("month"), help_text=_("Its first day."))
    part = models.PositiveSmallIntegerField(_("part"))
    path = models.CharField(_("file"), max_length=500, unique=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.REMOVING)
    calls = models.BigIntegerField(_("calls"))
    prompt_tokens = models.BigIntegerField(_("prompt tokens"))
    completion_tokens = models.BigIntegerField(_("completion tokens"))
    total_tokens = models.BigIntegerField(_("tokens"))
    cost_usd = money(_("cost, USD"))
    cost_rub = money(_("cost, RUB"))
    size = models.BigIntegerField(_("bytes"))
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    changed_ids = models.JSONField(_("calls that stayed"), default=list)
    # Its database default is for processes of earlier versions, which do not count durations.
    has_durations = models.BooleanField(
        _("durations are in the rollups"),
        default=True,
        db_default=False,
        help_text=_(
            "Not if an earlier version archived the calls: their durations are unknown until they are restored."
        ),
    )
    archived_at = models.DateTimeField(_("archived at"))
    by = models.CharField(_("by"), max_length=150)

    class Meta:
        db_table = "usage_archive_file"
        ordering = ("month", "part")
        verbose_name = _("archive file")
        verbose_name_plural = _("archive files")
        # Two processes that archive the same month at once: the second fails.
        constraints = (models.UniqueConstraint(fields=("month", "part"), name="usage_archive_file_part"),)

    def __str__(self) -> str:
        return self.path
