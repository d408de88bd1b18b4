"""From the ids that came with the calls to the organisations that are charged for them."""

import math
from collections.abc import Iterable
from typing import Any, TypeGuard

from django.contrib.auth import get_user_model
from django.db import connection, models

from usage_billing.models import Membership, Organization
from usage_billing.models.organization import UNATTRIBUTED
from usage_billing.recording.context import Attribution


class OrganizationLookup:
    """The organisations of one batch of calls, read in two queries."""

    def __init__(self, attributions: Iterable[Attribution]) -> None:
        batch = list(attributions)
        self._highest_user_id = _highest(get_user_model())
        highest_org_id = _highest(Organization)
        self._orgs = Organization.objects.in_bulk(
            {given.org_id for given in batch if _is_id(given.org_id, highest_org_id)}
        )
        self._sole_org = _sole_organizations(
            {id_ for given in batch if given.org_id is None and (id_ := self.user_id(given)) is not None}
        )
        self._unattributed: Organization | None = None

    def org(self, given: Attribution) -> Organization:
        """The organisation named; without one, the only one the user belongs to; else the reserved `unattributed`.

        With several to choose from none is chosen: charging the wrong one would show one tenant the work of another.
        """
        if given.org_id is None:
            found = self._sole_org.get(given.user_id)
        else:
            found = self._orgs.get(given.org_id) if isinstance(given.org_id, int) else None
        return found or self._reserved()

    def user_id(self, given: Attribution) -> int | None:
        """The user's id as far as it can be one; whether that user exists is not asked, a record outlives them."""
        return given.user_id if _is_id(given.user_id, self._highest_user_id) else None

    def not_found(self, given: Attribution) -> dict[str, Any]:
        """The ids that lead nowhere, to be kept in the record's metadata."""
        lost: dict[str, Any] = {}
        if given.org_id is not None and given.org_id not in self._orgs:
            lost["org_id"] = given.org_id
        if given.user_id is not None and self.user_id(given) is None:
            lost["user_id"] = given.user_id
        return lost

    def _reserved(self) -> Organization:
        if self._unattributed is None:
            self._unattributed, _ = Organization.objects.get_or_create(
                slug=UNATTRIBUTED, defaults={"name": "Unattributed"}
            )
        return self._unattributed


def _sole_organizations(user_ids: set[int]) -> dict[Any, Organization]:
    sole: dict[int, Organization | None] = {}
    if user_ids:
        memberships = Membership.objects.filter(user_id__in=user_ids, org__closed_at=None).select_related("org")
        for membership in memberships:
            sole[membership.user_id] = None if membership.user_id in sole else membership.org
    return {user_id: org for user_id, org in sole.items() if org is not None}


def _is_id(value: object, highest: float) -> TypeGuard[int]:
    """Whether it can be an id of a column that holds numbers up to `highest`."""
    return isinstance(value, int) and 0 < value <= highest


def _highest(model: type[models.Model]) -> float:
    """The highest id that the column can hold."""
    highest: int | None = connection.ops.integer_field_range(model._meta.pk.get_internal_type())[1]
    return math.inf if highest is None else highest
