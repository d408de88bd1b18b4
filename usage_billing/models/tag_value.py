"""The tags that rollups keep apart, with a bound on their number."""

from django.db import models

from usage_billing.models.organization import Organization

KEYS_PER_ORGANIZATION = 50
"""How many keys of one organisation have rollups. Calls keep the tags of further keys."""
VALUES_PER_KEY = 500
"""How many values of one key have rollup rows of their own. Further values count under `OTHER_VALUE`.

After raising a bound, run `rebuild_daily`: earlier calls count under a value only if it was registered in time.
"""


class TagValue(models.Model):
    """A tag that has rollup rows of its own, within one organisation. Rows are only added, never changed.

    The writer registers a tag in the transaction of the first call that has it.
    """

    pk = models.CompositePrimaryKey("org_id", "tag_key", "tag_value")
    org = models.ForeignKey(Organization, on_delete=models.CASCADE, db_index=False, related_name="+")
    tag_key = models.CharField(max_length=40)
    tag_value = models.CharField(max_length=100)

    class Meta:
        db_table = "usage_tag_value"

    def __str__(self) -> str:
        return f"{self.tag_key}={self.tag_value}"
