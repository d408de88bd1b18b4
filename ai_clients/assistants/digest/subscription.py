"""Whether an owner wants the weekly digest: a choice on the account page."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.utils.translation import gettext_lazy as _

from ai_clients.assistants.models import DigestRefusal
from usage_billing.models import Membership, Organization
from usage_billing.pages.hooks import AccountChoice
from usage_billing.tenancy.scope import scoped


def refused(org: Organization) -> set[Any]:
    """The keys of the users who do not want the organisation's digest."""
    return {*DigestRefusal.objects.filter(org=org).values_list("user_id", flat=True)}


def _owned(user: Any) -> Collection[int]:
    rows = Membership.objects.filter(user=user, role=Membership.Role.OWNER)
    return set(rows.values_list("org_id", flat=True))


def _is_for(user: Any) -> bool:
    with scoped(user):
        return bool(_owned(user))


def _read(user: Any) -> bool:
    with scoped(user):
        return DigestRefusal.objects.filter(user=user, org_id__in=_owned(user)).count() < len(_owned(user))


def _write(user: Any, is_wanted: bool) -> None:
    with scoped(user):
        orgs = _owned(user)
        if is_wanted:
            DigestRefusal.objects.filter(user=user, org_id__in=orgs).delete()
        else:
            rows = [DigestRefusal(org_id=org_id, user=user) for org_id in orgs]
            DigestRefusal.objects.bulk_create(rows, ignore_conflicts=True)


CHOICE = AccountChoice(
    name="weekly-digest",
    label=_("Weekly digest by e-mail"),
    help_text=_("Every Monday: what the organisations that you own spent on AI last week."),
    is_for=_is_for,
    read=_read,
    write=_write,
)
