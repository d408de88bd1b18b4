"""Counts of calls by duration, from which reports estimate percentiles such as p95.

Every rollup row has one count per bucket. The buckets do not overlap: a call counts in the first one whose bound is not
below its duration.
"""

from django.db import models

DURATION_BOUNDS_MS = (160, 320, 640, 1_280, 2_560, 5_120, 10_240, 20_480, 40_960, 81_920)
"""Upper bounds of the buckets, included. They are among the bucket boundaries of OpenTelemetry's metric
`gen_ai.client.operation.duration`."""

DURATION_COUNTS = (*(f"time_le_{bound}" for bound in DURATION_BOUNDS_MS), f"time_gt_{DURATION_BOUNDS_MS[-1]}")
"""Columns, one per bucket; the last one counts the calls above the last bound.

Calls of unknown duration (`execution_time_ms` 0, such as the lines of a batch) are in no bucket. Their number is
`requests_count` minus the sum of these columns. The same holds for calls that an earlier version archived: it kept no
such counts.
"""


def _count() -> "models.IntegerField[int, int]":
    """A column that a process of an earlier version may leave out."""
    return models.IntegerField(default=0, db_default=0)


class DurationCounts(models.Model):
    """The columns of `DURATION_COUNTS`."""

    time_le_160 = _count()
    time_le_320 = _count()
    time_le_640 = _count()
    time_le_1280 = _count()
    time_le_2560 = _count()
    time_le_5120 = _count()
    time_le_10240 = _count()
    time_le_20480 = _count()
    time_le_40960 = _count()
    time_le_81920 = _count()
    time_gt_81920 = _count()

    class Meta:
        abstract = True
