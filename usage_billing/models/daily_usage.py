"""Daily rollups at every grain; all reports are sums over them.

Every grain has the same columns. A dimension that a grain leaves out holds 0 or the empty string.
"""

from django.conf import settings
from django.db import models

from usage_billing.models.durations import DURATION_COUNTS, DurationCounts
from usage_billing.models.fields import NamedIndex, money, money_total

DIMENSIONS = ("org_id", "user_id", "agent_id", "request_type", "ai_provider", "ai_model", "status")

GRAINS: dict[str, tuple[str, ...]] = {
    "total": (),
    "agent": ("agent_id",),
    "type": ("request_type",),
    "model": ("ai_provider", "ai_model"),
    "org": ("org_id",),
    "org_user": ("org_id", "user_id"),
    "org_agent": ("org_id", "agent_id"),
    "org_type": ("org_id", "request_type"),
    "org_model": ("org_id", "ai_provider", "ai_model"),
    # Every filter and breakdown except by user: over all organisations, and within one.
    "mix": ("agent_id", "request_type", "ai_provider", "ai_model", "status"),
    "org_mix": ("org_id", "agent_id", "request_type", "ai_provider", "ai_model", "status"),
    "cube": DIMENSIONS,
}
"""Grain → the dimensions it keeps besides the day. A new grain is one line here and a run of `rebuild_daily`."""

MEASURES = (
    "requests_count",
    "failed_count",
    "refused_count",
    "unpriced_usd_count",
    "unpriced_rub_count",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "execution_time_ms",
    "cost_usd",
    "cost_rub",
)
"""Columns that are summed. Amounts are sums of the known ones; `unpriced_…_count` counts the unknown ones.

`refused_count` counts the calls that a budget stopped before they were sent. They are among `requests_count`, and in no
average."""

ROLLUP_MEASURES = (*MEASURES, *DURATION_COUNTS)
"""All summed columns of rollups: those that every report reads, and those that only percentiles of durations need."""

MAX_COST = "max_cost_usd"
"""Column with the highest cost of the row's calls, an upper bound: it does not fall when a call becomes cheaper or is
archived."""


class Measured(DurationCounts):
    """A row of sums: the columns of `ROLLUP_MEASURES`."""

    requests_count = models.BigIntegerField()
    failed_count = models.BigIntegerField()
    # With a default of the database's: a process of the previous version leaves it out.
    refused_count = models.BigIntegerField(default=0, db_default=0)
    unpriced_usd_count = models.BigIntegerField()
    unpriced_rub_count = models.BigIntegerField()
    prompt_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    total_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    cache_write_tokens = models.BigIntegerField()
    reasoning_tokens = models.BigIntegerField()
    execution_time_ms = models.BigIntegerField()
    cost_usd = money_total()
    cost_rub = money_total()

    class Meta:
        abstract = True


class DailyRollup(Measured):
    """One day's sums for some calls: the dimensions, the measures and the highest cost."""

    grain = models.CharField(max_length=10)
    usage_date = models.DateField()
    # 0 (for users `user_keys.nobody()`) means "all" if the grain leaves the dimension out, and "none" if it keeps it.
    org_id = models.BigIntegerField()
    # The type is that of the user model's key. There is no constraint: a rollup outlives its user.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    agent_id = models.CharField(max_length=100)
    request_type = models.CharField(max_length=100)
    ai_provider = models.CharField(max_length=50)
    ai_model = models.CharField(max_length=200)
    status = models.CharField(max_length=10)

    max_cost_usd = money(db_default=0)

    class Meta:
        abstract = True


class DailyUsage(DailyRollup):
    """One day's sums for one key of one grain; equal to `GROUP BY` over `token_usage` at every commit (guarantee 5,
    docs/guarantees.md).
    """

    pk = models.CompositePrimaryKey(
        "grain", "org_id", "usage_date", "user_id", "agent_id", "request_type", "ai_provider", "ai_model", "status"
    )

    class Meta:
        db_table = "token_usage_daily"
        indexes = (
            NamedIndex(fields=("grain", "usage_date"), name="idx_token_usage_daily_grain_date"),
            # Filters by user: the primary key would read all rows of the organisation.
            NamedIndex(
                fields=("user", "org_id", "usage_date"),
                name="idx_token_usage_daily_user",
                condition=models.Q(grain="cube"),
            ),
            # The days of some users, of all people. New rows alone change it: 1,200 a day with a million calls.
            NamedIndex(
                fields=("user", "usage_date"),
                name="idx_token_usage_daily_org_user",
                condition=models.Q(grain="org_user"),
            ),
        )

    def __str__(self) -> str:
        return f"{self.grain} {self.usage_date}"
