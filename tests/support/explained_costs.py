"""Checks that every cost worked out in a test can be explained line by line, to the last digit."""

from __future__ import annotations

from decimal import Decimal

import pytest

from usage_billing.costing import cost_lines, costs
from usage_billing.costing.cost_lines import UNEXPLAINED, CostLine
from usage_billing.costing.costs import Row
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.models.fields import MONEY_PLACES


def expect_explained(row: Row) -> list[CostLine]:
    """The amounts add up to the cost, or to its known part; units × price is the amount; no line is unexplained."""
    found = cost_lines.lines(row)
    whole = row["cost_usd"] if row["cost_usd"] is not None else row["known_cost_usd"]
    assert sum((line.amount or Decimal(0) for line in found), Decimal(0)) == (whole or 0), (row, found)
    for line in found:
        assert line.kind != UNEXPLAINED, (row, found)
        if line.price is not None:
            assert line.amount == round(line.units[0].count * line.price / line.per, MONEY_PLACES), line
    return found


@pytest.fixture
def explained_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check each row when its cost is worked out."""
    original = costs.cost

    def cost(row: Row, overrides: PriceOverrides) -> Row:
        costed = original(row, overrides)
        expect_explained(costed)
        return costed

    monkeypatch.setattr(costs, "cost", cost)
