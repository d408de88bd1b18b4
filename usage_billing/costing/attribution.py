"""Finds the organisation and the user of each call from the attribution that came with it."""

from __future__ import annotations

import hashlib
import zoneinfo
from collections.abc import Iterable
from typing import Any

from django.utils.text import slugify

from usage_billing.models import Membership, Organization, user_keys
from usage_billing.models.fields import LARGEST_ID
from usage_billing.models.organization import UNATTRIBUTED
from usage_billing.recording.context import Attribution


class OrganizationLookup:
    """The organisations of one batch of calls, read in at most three queries."""

    def __init__(self, attributions: Iterable[Attribution]) -> None:
        batch = list(attributions)
        self._orgs = Organization.objects.in_bulk({given.org_id for given in batch if _is_id(given.org_id)})
        keys = {given.org_key for given in batch if given.org_key}
        self._by_key = {org.external_key: org for org in _with_keys(keys)} if keys else {}
        self._sole_org = _sole_organizations(
            {key for given in batch if _names_none(given) and (key := self.user_id(given)) is not None}
        )
        self._unattributed: Organization | None = None

    def org(self, given: Attribution) -> Organization:
        """The organisation that the call names; else the only one of its user; else the reserved `unattributed`.

        An `OrganizationKey` creates its organisation at the first call. If the user belongs to several organisations,
        none is chosen: charging the wrong one would show a tenant's work to another.
        """
        if (found := self._known(given)) is not None:
            return found
        return self._created(given) if given.org_key else self._reserved()

    def known_id(self, given: Attribution) -> int | None:
        """The id of the organisation that `org` gives; None if that is the reserved one, or is not there yet."""
        found = self._known(given)
        return None if found is None else found.pk

    def _known(self, given: Attribution) -> Organization | None:
        if given.org_key:
            return self._by_key.get(given.org_key)
        if _names_none(given):
            return self._sole_org.get(self.user_id(given))
        return self._orgs.get(given.org_id) if isinstance(given.org_id, int) else None

    def user_id(self, given: Attribution) -> Any:
        """The user's key, or None if it cannot be one. The user may be deleted already: a record outlives its user."""
        return user_keys.parse(given.user_id)

    def not_found(self, given: Attribution) -> dict[str, Any]:
        """The ids that match nothing; the record keeps them in its metadata."""
        lost: dict[str, Any] = {}
        if given.org_id is not None and given.org_id not in self._orgs:
            lost["org_id"] = given.org_id
        if given.user_id is not None and self.user_id(given) is None:
            lost["user_id"] = given.user_id
        return lost

    def _created(self, given: Attribution) -> Organization:
        defaults = {"name": given.org_name or given.org_key, "slug": _free_slug(given)}
        if given.org_timezone in zoneinfo.available_timezones():
            defaults["timezone"] = given.org_timezone
        org, _ = Organization.objects.get_or_create(external_key=given.org_key, defaults=defaults)
        self._by_key[given.org_key] = org
        return org

    def _reserved(self) -> Organization:
        if self._unattributed is None:
            self._unattributed, _ = Organization.objects.get_or_create(
                slug=UNATTRIBUTED, defaults={"name": "Unattributed"}
            )
        return self._unattributed


def _names_none(given: Attribution) -> bool:
    return given.org_id is None and not given.org_key


def _with_keys(keys: set[str]) -> Iterable[Organization]:
    return Organization.objects.filter(external_key__in=keys)


def _free_slug(given: Attribution) -> str:
    """A slug of the name. If it is taken or empty, a part of the key's hash is added."""
    slug = slugify(given.org_name)[:80]
    if slug and slug != UNATTRIBUTED and not Organization.objects.filter(slug=slug).exists():
        return slug
    return f"{slug or 'org'}-{hashlib.sha256(given.org_key.encode()).hexdigest()[:12]}"


def _sole_organizations(user_ids: set[Any]) -> dict[Any, Organization]:
    sole: dict[Any, Organization | None] = {}
    if user_ids:
        memberships = Membership.objects.filter(user_id__in=user_ids, org__closed_at=None).select_related("org")
        for membership in memberships:
            sole[membership.user_id] = None if membership.user_id in sole else membership.org
    return {user_id: org for user_id, org in sole.items() if org is not None}


def _is_id(value: object) -> bool:
    return isinstance(value, int) and 0 < value <= LARGEST_ID
