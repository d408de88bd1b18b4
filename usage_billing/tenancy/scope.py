"""Works out which calls a person may see, and has the database enforce it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

from django.conf import settings

from usage_billing.models import Membership
from usage_billing.tenancy import roles


@dataclass(frozen=True)
class Scope:
    """The calls that a person may see: every call, all calls of some organisations, their own calls in others.

    zone: the time zone of the person's “today”: their organisations' zone if all share one, else the project's.
    """

    everything: bool = False
    owned_org_ids: frozenset[int] = frozenset()
    member_org_ids: frozenset[int] = frozenset()
    user_id: Any = None
    zone: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.everything or self.owned_org_ids or self.member_org_ids)

    @property
    def org_ids(self) -> frozenset[int]:
        """The organisations that the person belongs to."""
        return self.owned_org_ids | self.member_org_ids

    def today(self, now: datetime) -> date:
        return now.astimezone(ZoneInfo(self.zone or settings.TIME_ZONE)).date()


NOTHING = Scope()
EVERYTHING = Scope(everything=True)


def of_organization(org_id: int, zone: str = "") -> Scope:
    """The scope of one organisation with all its calls, for work that the system does on its behalf."""
    return Scope(owned_org_ids=frozenset({org_id}), zone=zone)


def scope_of(user: Any) -> Scope:
    """The scope of a superuser is everything, an owner's their organisations, a member's their own calls there.

    A program with a service token brings its own (`auth.service_tokens.Program`). Everybody else sees nothing. The
    memberships are read at each call, so an old token gives no more than they do now. On PostgreSQL the web's role
    reads memberships only within `scoped`.
    """
    if (own := getattr(user, "own_scope", None)) is not None:
        return cast("Scope", own)
    if _sees_by_membership(user):
        memberships = Membership.objects.filter(user=user).values_list("org_id", "role", "org__timezone")
        return _by_membership(user.pk, memberships)
    return _without_memberships(user)


@contextmanager
def scoped(user: Any) -> Iterator[Scope]:
    """Let the database show only the rows that `user` may see. Never hold it across a call to a provider.

    On PostgreSQL this is one transaction. A view runs within the scope of `request.user` already (`ScopeMiddleware`,
    `api.base.ScopedView`), unless it is marked `outside_scope`.
    """
    if roles.is_enforced() and _sees_by_membership(user):
        with roles.entered(user.pk) as memberships:
            yield _by_membership(user.pk, memberships)
    else:
        with within(scope_of(user)) as scope:
            yield scope


@contextmanager
def within(scope: Scope) -> Iterator[Scope]:
    """Enter a given scope: `EVERYTHING` for jobs over all organisations, `of_organization` for one."""
    if roles.is_enforced():
        role = roles.SUPERADMIN if scope.everything else roles.WEB
        with roles.applied(roles.Setting(role, scope.user_id, scope.owned_org_ids, scope.member_org_ids)):
            yield scope
    else:
        yield scope


View = TypeVar("View", bound=Callable[..., Any])


def outside_scope(view: View) -> View:
    """Mark a view that enters scopes itself, because it calls a provider or streams."""
    view.outside_scope = True  # type: ignore[attr-defined]
    return view


def _sees_by_membership(user: Any) -> bool:
    if getattr(user, "own_scope", None) is not None:
        return False
    return bool(user.is_authenticated and user.is_active and not user.is_superuser)


def _without_memberships(user: Any) -> Scope:
    is_superadmin = user.is_authenticated and user.is_active and user.is_superuser
    return Scope(everything=True, user_id=user.pk) if is_superadmin else NOTHING


def _by_membership(user_id: Any, memberships: Iterable[tuple[int, str, str]]) -> Scope:
    """Build the scope from (organisation id, role, zone) of each membership."""
    known = list(memberships)
    zones = {zone for _, _, zone in known}
    return Scope(
        owned_org_ids=frozenset(org_id for org_id, role, _ in known if role == Membership.Role.OWNER),
        member_org_ids=frozenset(org_id for org_id, role, _ in known if role == Membership.Role.MEMBER),
        user_id=user_id,
        zone=zones.pop() if len(zones) == 1 else "",
    )
