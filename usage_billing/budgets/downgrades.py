"""Names the cheaper model of a budget that is used up, for callers that ask: the assistants' own requests."""

from __future__ import annotations

import logging
from typing import NamedTuple

from django.db import Error
from django.utils import timezone

from usage_billing.budgets import stop_list
from usage_billing.budgets.scopes import Caller, counts
from usage_billing.budgets.spending import spending
from usage_billing.budgets.stop_list import NO_BUDGETS
from usage_billing.budgets.windows import window_of
from usage_billing.costing.attribution import OrganizationLookup
from usage_billing.models import Budget
from usage_billing.recording import Attribution
from usage_billing.tenancy.scope import EVERYTHING, within

logger = logging.getLogger(__name__)


class Replacement(NamedTuple):
    """The model to use, and the budget that asks for it."""

    provider: str
    model: str
    budget_id: int


def replacement(attribution: Attribution, provider: str, model: str) -> Replacement | None:
    """The cheaper model for a call, by the first budget of the mode `downgrade` that counts it and is used up.

    No query unless such a budget may count the call, then up to three a budget: for callers whose calls take seconds,
    outside every transaction. None as well while the database is away.
    """
    caller, known = Caller(attribution, provider, model), stop_list.current() or NO_BUDGETS
    candidates = {budget.id for budget in known.replacing if counts(budget, caller)}
    if not candidates:
        return None
    try:
        with within(EVERYTHING):
            org_id = OrganizationLookup([attribution]).known_id(attribution)
            budgets = Budget.objects.filter(org=org_id, pk__in=candidates, mode=Budget.Mode.DOWNGRADE, is_active=True)
            for budget in budgets.select_related("org").order_by("pk"):
                day = timezone.now().astimezone(budget.org.zone).date()
                if spending(budget, window_of(budget, day)).spent >= budget.limit:
                    name, _, cheaper = budget.replacement.partition(":")
                    return Replacement(name, cheaper, budget.pk)
    except Error as error:
        logger.warning("Nobody can tell whether a cheaper model is to be used: %s", error)
    return None
