"""Finds organisations, users and known calls of events: in the database, or in memory while that is away."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from django.contrib.auth import get_user_model
from django.db.models import Q
from django.utils.translation import gettext

from usage_billing.costing.attribution import OrganizationLookup
from usage_billing.costing.costs import SOURCE
from usage_billing.models import Membership, Organization, UsageRecord, user_keys
from usage_billing.models.fields import LARGEST_ID
from usage_billing.models.organization import UNATTRIBUTED
from usage_billing.recording import Event, identity
from usage_billing.tenancy.scope import Scope

Name = int | str
"""An organisation's id or slug; a user's key or log-in name."""
Whose = tuple[Any, Name]
"""The organisation's id (None: none is named), and a user of it."""
Key = tuple[Any, Any, str]
"""What makes a call one: organisation, user where no organisation is named, request id."""


class AwayError(Exception):
    """Raised for a name that only the database could tell, while it is away."""


class Names(Protocol):
    """Look-ups of one batch of events. What is not found is not in the result."""

    def organizations(self, names: Collection[Name]) -> Mapping[Name, int]: ...

    def users(self, whose: Collection[Whose]) -> Mapping[Whose, Any]: ...

    def known(self, events: Sequence[Event]) -> set[Key]:
        """Return the keys of the events whose call is in the ledger."""


def key_of(event: Event) -> Key:
    org_id, user_id = event.attribution.org_id, event.attribution.user_id
    return org_id, None if org_id is not None else user_id, event.request_id


class InDatabase:
    """Within the sender's scope, in at most six queries. A sender of one organisation names members of it alone."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def organizations(self, names: Collection[Name]) -> dict[Name, int]:
        if not names:
            return {}
        ids = {name: id_ for name in names if (id_ := _id(name)) is not None}
        rows = Organization.objects.filter(Q(pk__in=set(ids.values())) | Q(slug__in=names - ids.keys()))
        found = dict(rows.values_list("slug", "pk"))
        existing = set(found.values())
        result = {name: ids[name] if name in ids else found.get(str(name), 0) for name in names}
        result = {name: id_ for name, id_ in result.items() if id_ in existing}
        _orgs.note(result)
        return result

    def users(self, whose: Collection[Whose]) -> dict[Whose, Any]:
        """Whoever sends for all organisations may name any user by key: a record outlives its user."""
        if not whose:
            return {}
        result = self._of_anybody(whose) if self.scope.everything else self._of_members(whose)
        _users.note(result)
        return result

    def _of_anybody(self, whose: Collection[Whose]) -> dict[Whose, Any]:
        model = get_user_model()
        keys = {each: key for each in whose if (key := user_keys.parse(identity.key(each[1]))) is not None}
        rows = model._default_manager.filter(**{f"{model.USERNAME_FIELD}__in": {str(name) for _, name in whose}})
        by_name = dict(rows.values_list(model.USERNAME_FIELD, "pk"))
        return {each: key for each in whose if (key := by_name.get(each[1], keys.get(each))) is not None}

    def _of_members(self, whose: Collection[Whose]) -> dict[Whose, Any]:
        names = {str(name) for _, name in whose}
        keys = {each: user_keys.parse(identity.key(each[1])) for each in whose}
        column = f"user__{get_user_model().USERNAME_FIELD}"
        rows = Membership.objects.filter(
            Q(user_id__in={key for key in keys.values() if key is not None}) | Q(**{f"{column}__in": names}),
            org_id__in={org_id for org_id, _ in whose},
        ).values_list("org_id", "user_id", column)
        found = {(org_id, name): key for org_id, key, name in rows}
        members = {(org_id, key) for org_id, key, _ in rows}
        result = {each: found.get(each) or (keys[each] if (each[0], keys[each]) in members else None) for each in whose}
        return {each: key for each, key in result.items() if key is not None}

    def known(self, events: Sequence[Event]) -> set[Key]:
        lookup = OrganizationLookup(event.attribution for event in events)
        org_ids = {key_of(event): lookup.known_id(event.attribution) for event in events}
        if None in org_ids.values():
            unattributed = Organization.objects.filter(slug=UNATTRIBUTED).values_list("pk", flat=True).first()
            org_ids = {key: unattributed if org_id is None else org_id for key, org_id in org_ids.items()}
        rows = UsageRecord.objects.filter(
            org_id__in=set(org_ids.values()) - {None}, request_id__in={event.request_id for event in events}
        )
        # A report without a known cost may be told again by somebody who knows more.
        better_may_come = Q(cost_usd=None, response_metadata__has_key=SOURCE)
        in_ledger = set(rows.exclude(better_may_come).values_list("org_id", "request_id"))
        return {key for key, org_id in org_ids.items() if (org_id, key[2]) in in_ledger}


class Remembered:
    """What this process has looked up before. No call is known: the ledger will tell."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def organizations(self, names: Collection[Name]) -> dict[Name, int]:
        """Raise `AwayError` for a slug that was not looked up. An id is taken as it is, and the scope decides."""
        found = _orgs.of(names)
        for name in names - found.keys():
            if (id_ := _id(name)) is None:
                raise AwayError(
                    gettext("The database is away, and nothing else tells the organisation “%(org)s”.") % {"org": name}
                )
            found[name] = id_
        return found

    def users(self, whose: Collection[Whose]) -> dict[Whose, Any]:
        return _users.of(whose)

    def known(self, events: Sequence[Event]) -> set[Key]:
        return set()


def _id(name: Name) -> int | None:
    """Return the id that a name is; None for a slug, which has a letter."""
    id_ = int(name) if isinstance(name, int) or (name.isascii() and name.isdecimal() and len(name) < 20) else 0
    return id_ if 0 < id_ <= LARGEST_ID else None


class _Memory:
    """The newest results of a look-up."""

    MOST = 10_000

    def __init__(self) -> None:
        self.found: OrderedDict[Any, Any] = OrderedDict()

    def note(self, found: Mapping[Any, Any]) -> None:
        for key, value in found.items():
            self.found[key] = value
            self.found.move_to_end(key)
        while len(self.found) > self.MOST:
            self.found.popitem(last=False)

    def of(self, keys: Iterable[Any]) -> dict[Any, Any]:
        return {key: self.found[key] for key in keys if key in self.found}


_orgs, _users = _Memory(), _Memory()


def forget() -> None:
    """Forget what was looked up: for tests."""
    _orgs.found.clear()
    _users.found.clear()
