"""Who may see what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.conf import settings

from usage_billing.models import Membership


@dataclass(frozen=True)
class Scope:
    """The calls that a person may see: every call, all calls of some organisations, their own calls in others.

    zone: the time zone that “today” means to this person: their organisations' if it is one, else the project's.
    """

    everything: bool = False
    owned_org_ids: frozenset[int] = frozenset()
    member_org_ids: frozenset[int] = frozenset()
    user_id: int | None = None
    zone: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.everything or self.owned_org_ids or self.member_org_ids)

    def today(self, now: datetime) -> date:
        return now.astimezone(ZoneInfo(self.zone or settings.TIME_ZONE)).date()


NOTHING = Scope()
EVERYTHING = Scope(everything=True)


def of_organization(org_id: int, zone: str = "") -> Scope:
    """All of one organisation: what the system itself works with when it acts for it."""
    return Scope(owned_org_ids=frozenset({org_id}), zone=zone)


def scope_of(user: Any) -> Scope:
    """A superuser sees everything, an owner their organisations, a member their own calls there, anyone else nothing.

    Read from the memberships of this moment, so that a token issued earlier gives no more than they do.
    """
    if not user.is_authenticated or not user.is_active:
        return NOTHING
    if user.is_superuser:
        return Scope(everything=True, user_id=user.pk)
    memberships = list(Membership.objects.filter(user=user).select_related("org"))
    zones = {membership.org.timezone for membership in memberships}
    return Scope(
        owned_org_ids=frozenset(m.org_id for m in memberships if m.role == Membership.Role.OWNER),
        member_org_ids=frozenset(m.org_id for m in memberships if m.role == Membership.Role.MEMBER),
        user_id=user.pk,
        zone=zones.pop() if len(zones) == 1 else "",
    )


@contextmanager
def scoped(user: Any) -> Iterator[Scope]:
    """Within it the database itself shows no more than `user` may see. Never hold it across a call to a provider."""
    with within(scope_of(user)) as scope:
        yield scope


@contextmanager
def within(scope: Scope) -> Iterator[Scope]:
    """Likewise for a scope in hand: `EVERYTHING` for jobs over all organisations, `of_organization` for one."""
    yield scope


View = TypeVar("View", bound=Callable[..., Any])


def outside_scope(view: View) -> View:
    """Marks a view that takes a scope itself, in parts: one that calls a provider, or streams."""
    view.outside_scope = True  # type: ignore[attr-defined]
    return view
