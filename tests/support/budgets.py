"""Budgets for tests."""

from __future__ import annotations

import itertools
from datetime import date
from decimal import Decimal
from typing import Any

from usage_billing.models import Budget, BudgetRequest, Organization

_numbers = itertools.count(1)
LIMIT = Decimal(100)


def budget(org: Organization, **fields: Any) -> Budget:
    """Create a budget of 100 USD a month."""
    given = {"name": f"Budget {next(_numbers)}", "limit": LIMIT, "starts_on": date(2026, 1, 1)}
    return Budget.objects.create(org=org, **(given | fields))


def request(budget: Budget, user: Any, **fields: Any) -> BudgetRequest:
    """Create an open request for 200."""
    return BudgetRequest.objects.create(
        org_id=budget.org_id, budget=budget, user_id=user.pk, **({"limit": Decimal(200)} | fields)
    )
