"""The percentile of durations that the counts by bucket give."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support import factories
from tests.support.rows import NOON, enter, row
from usage_billing import reports
from usage_billing.models import DailyUsage
from usage_billing.models.daily_usage import MEASURES
from usage_billing.models.durations import DURATION_COUNTS
from usage_billing.reports.durations import DURATIONS, p95_time_ms
from usage_billing.reports.sql.sources import UNTIMED
from usage_billing.tenancy.scope import EVERYTHING

WITH_DURATIONS = (*MEASURES, *DURATIONS)


def counts(**by_bucket: int) -> dict[str, Any]:
    return {**dict.fromkeys(DURATION_COUNTS, 0), UNTIMED: 0, **by_bucket}


@pytest.mark.parametrize(
    ("row_", "expected"),
    [
        (counts(), None),
        # All in the bucket of 160 to 320 ms: 95 % of its width.
        (counts(time_le_320=100), Decimal(160 + 152)),
        (counts(time_le_160=95, time_le_320=5), Decimal(160)),
        (counts(time_le_160=90, time_le_5120=10), Decimal(2560 + 1280)),
        (counts(time_gt_81920=1), Decimal(81920)),
        (counts(time_le_320=100, **{UNTIMED: 1}), None),
    ],
)
@pytest.mark.unit
def test_it_is_interpolated_within_its_bucket(row_: dict[str, Any], expected: Decimal | None) -> None:
    assert p95_time_ms(row_) == expected


@pytest.mark.django_db
class TestOfCalls:
    @pytest.fixture(autouse=True)
    def calls(self) -> None:
        org = factories.organization()
        fast = [row(org, agent_id="fast", execution_time_ms=100 + n, workflow_id="w") for n in range(20)]
        slow = [row(org, agent_id="slow", execution_time_ms=4000, workflow_id="w") for _ in range(20)]
        # A line of a batch has no duration.
        enter(*fast, *slow, row(org, agent_id="fast", execution_time_ms=0))

    def test_rollups_and_calls_give_the_same(self) -> None:
        for filters in ({}, {"workflow_id": "w"}):
            rows = reports.totals(EVERYTHING, by=["agent_id"], filters=filters, measures=WITH_DURATIONS)
            assert {each["agent_id"]: each["p95_time_ms"] for each in rows} == {
                "fast": Decimal(152),
                "slow": Decimal(2560 + 2432),
            }

    def test_rows_are_ordered_by_it_and_by_the_average(self) -> None:
        for ordering, first in (("-p95_time_ms", "slow"), ("p95_time_ms", "fast"), ("-average_time_ms", "slow")):
            rows = reports.totals(EVERYTHING, by=["agent_id"], ordering=ordering, limit=1)
            assert [each["agent_id"] for each in rows] == [first]

    def test_it_is_unknown_where_an_earlier_version_archived_the_calls(self) -> None:
        zeros = dict.fromkeys(DURATION_COUNTS, 0)
        DailyUsage.objects.filter(agent_id="slow").update(**zeros)
        rows = reports.totals(EVERYTHING, by=["agent_id"], measures=WITH_DURATIONS)
        assert {each["agent_id"]: each["p95_time_ms"] for each in rows} == {"fast": Decimal(152), "slow": None}

    def test_a_time_series_has_it_by_step(self) -> None:
        today = NOON.date()
        period = reports.Period(today - timedelta(days=1))
        earlier, day = reports.time_series(EVERYTHING, period, today, measures=WITH_DURATIONS)
        assert (earlier["p95_time_ms"], day["p95_time_ms"]) == (None, Decimal(2560 + 2304))
