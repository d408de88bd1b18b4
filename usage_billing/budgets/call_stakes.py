"""Works out which budgets count a call, and what it may take of each."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.core import mail
from django.db import Error

from usage_billing.budgets import call_bounds, published
from usage_billing.budgets.call_bounds import CallBounds
from usage_billing.budgets.holdings import Stake
from usage_billing.budgets.keeper import Keeper
from usage_billing.budgets.published import NO_BUDGETS, Published, PublishedBudget
from usage_billing.budgets.scopes import Caller, as_recorded, counts, may_count
from usage_billing.budgets.windows import Window, window_of
from usage_billing.costing import price_list, providers
from usage_billing.costing.attribution import OrganizationLookup
from usage_billing.costing.costs import model_of_deployment
from usage_billing.recording import gate
from usage_billing.recording.admission import Planned
from usage_billing.recording.context import Attribution
from usage_billing.recording.event import Flavour
from usage_billing.tenancy.scope import EVERYTHING, within

logger = logging.getLogger(__name__)

FRESH_S = 300.0
"""For how long bounds of calls, and the only organisation of a user, are used without another look."""
ROUTE_S = 60.0
"""For how long it is remembered which budgets count calls like one, and within which bounds: 8 µs of a call's 15."""
UNLISTED_S = 10.0
"""How long calls go on without the list of budgets before the database is asked for it again."""
MOST_KNOWN = 10_000
"""Bounds and users that are remembered. Beyond it all are forgotten."""


class _Known(NamedTuple):
    value: Any
    until: float


class _Memory:
    """What was looked up, for `FRESH_S`."""

    def __init__(self) -> None:
        self._known: dict[Any, _Known] = {}

    def get(self, key: Any) -> Any:
        """The value; None if it is not known, or was looked up too long ago."""
        found = self._known.get(key)
        return found.value if found is not None and time.monotonic() < found.until else None

    def older(self, key: Any) -> Any:
        """The value, however long ago it was looked up: while the database is away."""
        found = self._known.get(key)
        return None if found is None else found.value

    def set(self, key: Any, value: Any) -> None:
        if len(self._known) >= MOST_KNOWN:
            self._known = {}
        self._known[key] = _Known(value, time.monotonic() + FRESH_S)


class _Present(NamedTuple):
    """A window, and when it begins and ends (epoch seconds)."""

    began: float
    ends: float
    window: Window


class _Route(NamedTuple):
    """What is known of calls like one: the budgets that count them, each with its present window.

    published: the list that it was worked out from.
    """

    published: Published
    budgets: Sequence[tuple[PublishedBudget, _Present]]
    bounds: CallBounds
    until: float


class CallStakes:
    """The stakes of calls. keeper: knows whether the database is away."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._unlisted_until = 0.0
        self.forget()

    def forget(self) -> None:
        """Look prices, histories and users up again."""
        self._bounds, self._sole_orgs = _Memory(), _Memory()
        self._routes: dict[tuple[Any, ...], _Route] = {}

    def concern(self, attribution: Attribution) -> bool:
        """Whether a stop budget may count calls of this attribution."""
        known = published.current()
        if known is None:
            return not self._is_list_missing()
        if not known.of_org:
            return False
        org_id = self._org_of(attribution, known)
        if org_id is None:
            return True  # it takes a look into the database
        return any(may_count(budget, attribution) for budget in known.of_org.get(org_id, ()))

    def known(self, call: Planned) -> list[Stake] | None:
        """The stakes of the call; None if that takes a look into the database."""
        known = published.current()
        if known is None:
            return None
        key = _route_key(call)
        route = self._routes.get(key)
        if route is None or route.published is not known or time.monotonic() >= route.until:
            org_id = self._org_of(call.attribution, known)
            route = None if org_id is None else self._route(org_id, known, call, self._known_bounds)
            if route is None:
                return None
            if len(self._routes) >= MOST_KNOWN:
                self._routes = {}
            self._routes[key] = route
        return self._staked(route, call)

    def unbounded(self, call: Planned) -> list[Stake]:
        """The stakes as far as this process can tell, without any bound of the cost."""
        known = published.current() or NO_BUDGETS
        route = self._route(self._org_of(call.attribution, known) or 0, known, call, lambda *_: call_bounds.NOT_KNOWN)
        return [] if route is None else self._staked(route, call)

    def looked_up(self, call: Planned) -> list[Stake]:
        """The same with a look into the database for what is not known; what cannot be read then is not bounded."""
        known = self._listed()
        org_id = self._org_of(call.attribution, known)
        if org_id is None:
            org_id = self._looked_up_org(call.attribution, known)
        route = self._route(org_id, known, call, self._looked_up_bounds)
        return [] if route is None else self._staked(route, call)

    def _route(
        self,
        org_id: int,
        known: Published,
        call: Planned,
        bounds_of: Callable[[int, str, str, Planned], CallBounds | None],
    ) -> _Route | None:
        until = time.monotonic() + ROUTE_S
        budgets = known.of_org.get(org_id, ())
        if not budgets:
            return _Route(known, (), call_bounds.NOT_KNOWN, until)
        host, provider = _provider(call.url, call.flavour, price_list.generation())
        call = call._replace(model=model_of_deployment(call.deployment, host) or call.model)
        caller = Caller(call.attribution, provider, call.model)
        counting = [budget for budget in budgets if counts(budget, caller)]
        if not counting:
            return _Route(known, (), call_bounds.NOT_KNOWN, until)
        bounds = bounds_of(org_id, as_recorded(call.attribution.agent_id, "agent_id"), provider, call)
        if bounds is None:
            return None
        return _Route(known, [(budget, _window_of(budget, call.started_at)) for budget in counting], bounds, until)

    def _staked(self, route: _Route, call: Planned) -> list[Stake]:
        at, bounds, stakes = call.started_at, route.bounds, []
        for budget, present in route.budgets:
            if not present.began <= at < present.ends:
                present = _window_of(budget, at)  # the route is of another day
            if present.began <= at:
                amount = bounds.most(call, budget.unit)
                stakes.append(Stake(budget, present.window, amount, bounds.tells(budget.unit)))
        return stakes

    def _known_bounds(self, org_id: int, agent_id: str, provider: str, call: Planned) -> CallBounds | None:
        found: CallBounds | None = self._bounds.get(_bounds_key(org_id, agent_id, provider, call))
        return found

    def _looked_up_bounds(self, org_id: int, agent_id: str, provider: str, call: Planned) -> CallBounds:
        bounds = self._known_bounds(org_id, agent_id, provider, call)
        if bounds is not None:
            return bounds
        key = _bounds_key(org_id, agent_id, provider, call)
        try:
            if not self._keeper.is_away:
                bounds = call_bounds.load(org_id, agent_id, provider, call, datetime.now(UTC))
                self._bounds.set(key, bounds)
                return bounds
        except Error as error:
            self._keeper.note_away(error)
        return self._bounds.older(key) or call_bounds.NOT_KNOWN

    # ── Whose it is ──────────────────────────────────────────────────────────────────────────────────────────────

    def _org_of(self, given: Attribution, known: Published) -> int | None:
        """The organisation that the ledger will charge, as far as it has stop budgets; 0 for another one.

        None if that takes a look into the database: the call names a user and no organisation.
        """
        if given.org_key:
            return known.org_of_key.get(_key_as_recorded(given.org_key, "org_key"), 0)
        if given.org_id is None:
            return self._sole_orgs.get(given.user_id) if given.user_id is not None else known.unattributed or 0
        if isinstance(given.org_id, int):
            return given.org_id if given.org_id in known.of_org else 0
        return known.unattributed or 0

    def _looked_up_org(self, given: Attribution, known: Published) -> int:
        try:
            if not self._keeper.is_away:
                with within(EVERYTHING):
                    org_id = OrganizationLookup([given]).known_id(given) or known.unattributed or 0
                self._sole_orgs.set(given.user_id, org_id)
                return org_id
        except Error as error:
            self._keeper.note_away(error)
        return self._sole_orgs.older(given.user_id) or 0

    # ── The list ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_list_missing(self) -> bool:
        """Whether calls go on without the list: in a test run, and for a while after the database did not give it."""
        return time.monotonic() < self._unlisted_until or hasattr(mail, "outbox")

    def _listed(self) -> Published:
        """The list; without a file, that of the database, which is written into the file."""
        known = published.current()
        if known is not None:
            return known
        try:
            budgets = published.from_database()
            published.write(budgets)
            return Published(budgets)
        except (Error, OSError) as error:
            self._unlisted_until = time.monotonic() + UNLISTED_S
            logger.error("The budgets are not known, so calls are not stopped: %s", error)
            return NO_BUDGETS


def _window_of(budget: PublishedBudget, moment: float) -> _Present:
    """The window that the moment (epoch seconds) is in; a total's only one, if it is before that."""
    day = datetime.fromtimestamp(moment, UTC).astimezone(budget.timezone).date()
    window = window_of(budget, day)
    return _Present(*window.span(budget.timezone), window)


def _route_key(call: Planned) -> tuple[Any, ...]:
    """All that decides which budgets count a call, and at which prices."""
    given = call.attribution
    return (
        given.org_id, given.org_key, given.user_id, given.agent_id, given.request_type,
        tuple(given.tags.items()) if given.tags else (),
        call.url, call.flavour, call.model, call.deployment, call.tier, call.writes_cache,
    )  # fmt: skip


_key_as_recorded = functools.lru_cache(maxsize=4096)(gate.identifier)


def _bounds_key(org_id: int, agent_id: str, provider: str, call: Planned) -> tuple[Any, ...]:
    return org_id, agent_id, provider, call.model, call.deployment, call.tier, call.writes_cache


@functools.lru_cache(maxsize=1024)
def _provider(url: str, flavour: Flavour, _generation: int) -> tuple[str, str]:
    """The host and the provider of a URL."""
    parts = urlsplit(url)
    return parts.netloc, providers.provider_of(f"{parts.scheme}://{parts.netloc}", flavour)
