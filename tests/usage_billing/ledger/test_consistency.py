"""check_usage finds every kind of wrong rollup or record."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F

from tests.support import factories
from tests.support.factories import NOON, event
from usage_billing.ledger import consistency, writer
from usage_billing.models import DailyUsage, UsageRecord
from usage_billing.models.daily_usage import GRAINS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def two_calls() -> None:
    factories.rate()
    writer.add([event(org=factories.organization()), event(org=factories.organization())])


@pytest.mark.parametrize("grain", GRAINS)
def test_check_usage_finds_a_total_that_is_too_high(grain: str, capsys: pytest.CaptureFixture[str]) -> None:
    row = DailyUsage.objects.filter(grain=grain).first()
    assert row is not None
    DailyUsage.objects.filter(pk=row.pk).update(prompt_tokens=F("prompt_tokens") + 7)
    with pytest.raises(CommandError, match=r"^1 differences"):
        call_command("check_usage")
    assert "prompt_tokens -7" in capsys.readouterr().err


def of_grain(grain: str) -> list[consistency.Difference]:
    return [each for each in consistency.differences(NOON.date()) if each.key["grain"] == grain]


def test_check_usage_finds_a_cost_that_is_off_by_a_millionth_of_a_cent() -> None:
    DailyUsage.objects.filter(grain="total").update(cost_usd=F("cost_usd") + Decimal("0.00001"))
    (difference,) = of_grain("total")
    assert round(float(difference.measures["cost_usd"]), 9) == -0.00001


@pytest.mark.postgres
def test_check_usage_is_exact_to_the_last_digit_on_postgresql() -> None:
    DailyUsage.objects.filter(grain="total").update(cost_usd=F("cost_usd") + Decimal("0.000000000001"))
    (difference,) = of_grain("total")
    assert difference.measures == {"cost_usd": Decimal("-0.000000000001")}


def test_check_usage_finds_a_missing_row_and_a_superfluous_one() -> None:
    row = DailyUsage.objects.filter(grain="org").first()
    assert row is not None
    DailyUsage.objects.filter(pk=row.pk).delete()
    (missing,) = of_grain("org")
    assert (missing.key["org_id"], missing.measures["requests_count"]) == (row.org_id, 1)
    row.agent_id = "nobody"
    row.requests_count = row.prompt_tokens = row.completion_tokens = row.total_tokens = row.execution_time_ms = 0
    row.cost_usd = row.cost_rub = Decimal(0)
    row.save(force_insert=True)
    # The superfluous row has only zeros, which change no sum; it is reported all the same.
    assert sorted(difference.key["agent_id"] for difference in of_grain("org")) == ["", "nobody"]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ({"cost_rub": Decimal(1)}, "RUB not equal to USD × rate"),
        ({"cost_rub": None}, "USD without RUB although there is a rate"),
        ({"cost_usd": None, "cost_rub": None}, "unknown cost without a reason"),
        ({"price_source": "unpriced:unknown-model"}, "known cost marked as unknown"),
    ],
)
def test_check_usage_finds_a_record_that_contradicts_itself(damage: dict[str, Any], named: str) -> None:
    record = UsageRecord.objects.first()
    assert record is not None
    UsageRecord.objects.filter(pk=record.pk).update(**damage)
    assert consistency.inconsistent_records(NOON.date()) == {named: 1}
    with pytest.raises(CommandError, match="differences"):
        call_command("check_usage")


def test_check_usage_says_that_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("check_usage")
    assert capsys.readouterr().out == "The rollups equal the ledger: 2 calls, 16 grains.\n"


def test_check_usage_of_an_empty_ledger_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM token_usage")
        cursor.execute("DELETE FROM token_usage_daily")
    call_command("check_usage")
    assert capsys.readouterr().out == "The rollups equal the ledger: 0 calls, 16 grains.\n"
