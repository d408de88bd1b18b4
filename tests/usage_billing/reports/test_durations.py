"""The percentile of durations that the counts by bucket give."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

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

    @pytest.mark.parametrize("ordering", ["p95_time_ms", "-p95_time_ms"])
    def test_the_database_orders_by_it_and_returns_no_more_rows_than_asked_for(self, ordering: str) -> None:
        """In the order of `durations.p95_time_ms`: in all buckets, above them, and where it is unknown."""
        org = factories.organization()
        for number in range(40):
            times = [(7 * number * n * n) % 100_000 for n in range(number % 5 + 1)]
            enter(*(row(org, workflow_id=f"w{number:02}", execution_time_ms=each) for each in times))
        enter(row(org, workflow_id="slowest", execution_time_ms=900_000))
        narrowed: dict[str, Any] = {"filters": {"org_id": org.pk}, "measures": WITH_DURATIONS}
        rows = reports.totals(EVERYTHING, by=["workflow_id"], **narrowed)
        sign = -1 if ordering.startswith("-") else 1

        def known(row: dict[str, Any]) -> tuple[bool, Decimal]:
            return row["p95_time_ms"] is None, sign * (row["p95_time_ms"] or Decimal(0))

        assert {row["p95_time_ms"] is None for row in rows} == {True, False}
        with CaptureQueriesContext(connection) as queries:
            first = reports.totals(EVERYTHING, by=["workflow_id"], **narrowed, limit=20, ordering=ordering)
            whole = reports.totals(EVERYTHING, by=["workflow_id"], **narrowed, ordering=ordering)
        assert [known(row) for row in whole] == sorted(known(row) for row in rows)
        assert first == whole[:20]
        assert "LIMIT 20" in queries[0]["sql"]

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
