"""Changed records change the rollup rows that count them, whichever columns changed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from tests.support import factories
from tests.support.rows import enter, row
from usage_billing.ledger import changing, consistency, copying, records, writer
from usage_billing.models import DailyTagUsage, DailyUsage, UsageRecord
from usage_billing.models.daily_usage import MAX_COST

pytestmark = pytest.mark.django_db

UNPRICED: dict[str, Any] = {"cost_usd": None, "cost_rub": None, "price_source": "unpriced:unknown-model"}
PRICED: dict[str, Any] = {"cost_usd": Decimal("2.000000000001"), "cost_rub": Decimal("160.00000000008")}
CHEAPER: dict[str, Any] = {"cost_usd": Decimal("0.25"), "cost_rub": Decimal(20)}
RECOUNTED = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "cached_tokens": 3, **CHEAPER}


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        (CHEAPER, True),
        (PRICED, True),
        (UNPRICED, True),
        (RECOUNTED, True),
        ({"price_source": "by hand"}, True),
        ({"agent_id": "another", **CHEAPER}, False),
        ({"execution_time_ms": 500_000}, False),
        ({"status": "failed", **UNPRICED}, False),
    ],
    ids=["cheaper", "dearer", "unpriced", "other tokens", "its source", "another agent", "longer", "failed"],
)
def test_rollups_equal_the_changed_records(change: dict[str, Any], *, stays: bool) -> None:
    org, other = factories.organization(), factories.organization()
    tags = [{"feature": "chat"}, {"feature": "chat", "среда": "тест"}, {}]
    enter(
        *(row(each, tags=tags[number % 3], user_id=number % 2 or None) for each in (org, other) for number in range(6))
    )
    enter(row(org, **UNPRICED))
    ids = list(UsageRecord.objects.order_by("id").values_list("id", flat=True))[1:]

    changes = writer.apply_changes(ids, lambda each: each | change)

    assert len(changes) == len(ids) - (change == UNPRICED)
    # What can be added in the database, is: other changes, and SQLite's, are added up in Python.
    assert changing.keep_their_rows(changes) == (stays and connection.vendor == "postgresql")
    assert consistency.differences(changes[0].after["usage_date"]) == []
    if change.get("cost_usd"):
        assert UsageRecord.objects.filter(pk__in=ids, cost_usd=change["cost_usd"]).count() == len(ids)
    if change == PRICED:
        for model in (DailyUsage, DailyTagUsage):
            assert set(model.objects.filter(org_id=org.pk).values_list(MAX_COST, flat=True)) == {change["cost_usd"]}


def test_records_are_read_as_the_ledger_reads_them() -> None:
    org = factories.organization()
    enter(
        row(org, usage={"n": 10**15, "имя": [1.5, None, "\\u0000"]}, tags={"a": "b"}, content_id="", workflow_id=None),
        row(org, **UNPRICED, request_metadata={"participant_id": "7"}),
    )
    factories.rate()
    writer.add([factories.event(org=org)])
    ids = list(UsageRecord.objects.values_list("id", flat=True))
    assert len(ids) == 3
    expected = [dict(each) for each in records.found(pk__in=ids, org_id=org.pk)]
    assert list(copying.records(ids, None, lock=True)) == expected
    assert list(copying.records(ids, {org.pk}, lock=False)) == expected
    assert list(copying.records(ids, {org.pk + 1}, lock=False)) == []
