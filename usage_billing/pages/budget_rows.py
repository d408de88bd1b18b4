"""Budgets as pages show them: figures and bar to people who may see them, to others whether each is used up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from usage_billing.budgets import access
from usage_billing.budgets.state import BudgetState, states
from usage_billing.models import Budget, BudgetRequest
from usage_billing.pages.budget_bar import Bar, bar
from usage_billing.pages.budget_words import Narrow, calls_link, scope_words
from usage_billing.pages.names import Names
from usage_billing.pages.page import BUDGETS, address
from usage_billing.tenancy.scope import Scope


@dataclass(frozen=True)
class Row:
    """A budget. state, bar, calls_link: None or empty to a person who may not see its figures.

    scope: its conditions; none: all calls of the organisation. asked: the reader's own request that waits.
    """

    budget: Budget
    link: str
    scope: list[Narrow]
    is_used_up: bool
    state: BudgetState | None
    bar: Bar | None
    calls_link: str
    may_change: bool
    may_ask: bool
    asked: BudgetRequest | None

    @property
    def share(self) -> Decimal:
        """What is taken of the limit; zero to people who may not know."""
        return self.bar.share if self.bar else Decimal(0)

    @property
    def runs_out(self) -> bool:
        """Whether the limit will be reached before the window ends."""
        return not self.is_used_up and self.state is not None and self.state.runs_out_on is not None


def rows(scope: Scope, budgets: Iterable[Budget], now: datetime) -> list[Row]:
    """The active budgets among them, nearest to its limit first, then the inactive ones.

    budgets: of `access.visible`. Three queries beside those of the states, and one for each budget of a model.
    """
    listed = [*budgets]
    known = Names(scope)
    known.look_up(users=(budget.user_id for budget in listed))
    found, asked = states(listed, now), _asked(scope, listed)
    made = [row(scope, budget, found[budget.pk], known, asked) for budget in listed]
    return sorted(made, key=_nearest_first)


def row(
    scope: Scope, budget: Budget, state: BudgetState, known: Names, asked: Mapping[int, BudgetRequest] | None = None
) -> Row:
    shows = access.shows_figures(scope, budget)
    may_change = access.may_change(scope, budget)
    return Row(
        budget,
        link_of(budget, for_superadmin=scope.everything),
        scope_words(budget, known),
        state.is_used_up,
        state if shows else None,
        bar(budget.limit, state.spent, state.reserved, budget.thresholds) if shows else None,
        calls_link(budget, state.window, for_superadmin=scope.everything) if shows else "",
        may_change,
        not may_change and budget.is_active,
        (asked or {}).get(budget.pk),
    )


def _nearest_first(each: Row) -> tuple[bool, bool, Decimal, str]:
    return not each.budget.is_active, not each.is_used_up, -each.share, each.budget.name.casefold()


def _asked(scope: Scope, budgets: Sequence[Budget]) -> dict[int, BudgetRequest]:
    """The reader's own open requests, by budget."""
    own = BudgetRequest.objects.filter(user_id=scope.user_id, state=BudgetRequest.State.OPEN)
    return {each.budget_id: each for each in own.filter(budget__in=[budget.pk for budget in budgets])}


def link_of(budget: Budget, *, for_superadmin: bool) -> str:
    return f"{address(BUDGETS, for_superadmin=for_superadmin)}/{budget.pk}"
