"""Daily rollups by tag. A call counts once for each of its tags, and a call without tags has no rows here.

A table of its own, because a process of the previous version goes on writing `token_usage_daily` by its primary key
while it is replaced.
"""

from django.db import models

from usage_billing.models.daily_usage import DIMENSIONS, DailyRollup
from usage_billing.models.fields import NamedIndex

TAG_COLUMNS = ("tag_key", "tag_value")

TAG_DIMENSIONS = (*DIMENSIONS, *TAG_COLUMNS)

TAG_GRAINS: dict[str, tuple[str, ...]] = {
    "tag": TAG_COLUMNS,
    "org_tag": ("org_id", *TAG_COLUMNS),
    # Every filter and breakdown except by user and organisation.
    "tag_mix": ("agent_id", "request_type", "ai_provider", "ai_model", "status", *TAG_COLUMNS),
    "tag_cube": TAG_DIMENSIONS,
}
"""Grain → the dimensions it keeps besides the day. Each grain keeps the tag: sums over several tags would count a call
several times."""

OTHER_VALUE = "…other"
"""`tag_value` of rollup rows that count the values beyond the bound of `tag_value.VALUES_PER_KEY`. No call has such a
value: the gate removes "…" from the start of values."""


class DailyTagUsage(DailyRollup):
    """One day's sums of the calls with one tag, for one key of one grain; equal to `GROUP BY` over the tags of
    `token_usage` at every commit (guarantee 5, docs/guarantees.md).
    """

    pk = models.CompositePrimaryKey(
        "grain", "org_id", "usage_date", "tag_key", "tag_value",
        "user_id", "agent_id", "request_type", "ai_provider", "ai_model", "status",
    )  # fmt: skip
    tag_key = models.CharField(max_length=40)
    tag_value = models.CharField(max_length=100)

    class Meta:
        db_table = "token_usage_tag_daily"
        indexes = (
            NamedIndex(fields=("grain", "usage_date", "tag_key"), name="idx_token_usage_tag_daily_grain_date"),
            # Filters by user: the primary key would read all rows of the organisation.
            NamedIndex(
                fields=("user", "org_id", "usage_date"),
                name="idx_token_usage_tag_daily_user",
                condition=models.Q(grain="tag_cube"),
            ),
        )

    def __str__(self) -> str:
        return f"{self.grain} {self.usage_date} {self.tag_key}={self.tag_value}"
