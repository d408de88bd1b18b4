"""Which owners get the weekly digest: those who chose it on the account page, for each organisation by itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext

from ai_clients.assistants.models import DigestSubscription
from usage_billing.conf import conf
from usage_billing.models import Membership, Organization
from usage_billing.pages.hooks import AccountChoice
from usage_billing.tenancy.row_level_security import OF_OWNED_ORGANIZATIONS, WRITE, Access
from usage_billing.tenancy.scope import scoped
from usage_billing.tenancy.seal import USER_ID

ACCESS = Access(WRITE, web_rows=OF_OWNED_ORGANIZATIONS, web_writes=f"{OF_OWNED_ORGANIZATIONS} AND user_id = {USER_ID}")
"""An owner sees who gets the digest of their organisation, and subscribes nobody but themselves."""


def subscribers(org: Organization) -> set[Any]:
    """The keys of the users who subscribed to the organisation's digest."""
    return {*DigestSubscription.objects.filter(org=org).values_list("user_id", flat=True)}


def subscribe(*, user_id: Any, org_id: int) -> None:
    row = DigestSubscription(org_id=org_id, user_id=user_id)
    DigestSubscription.objects.bulk_create([row], ignore_conflicts=True)


def unsubscribe(*, user_id: Any, org_id: int) -> None:
    DigestSubscription.objects.filter(org=org_id, user=user_id).delete()


def choices(user: Any) -> Sequence[AccountChoice]:
    """A checkbox for each open organisation that the user owns."""
    with scoped(user):
        owned = Membership.objects.filter(user=user, role=Membership.Role.OWNER, org__closed_at=None)
        orgs = list(owned.order_by("org__name", "org_id").values_list("org_id", "org__name"))
        chosen = {*DigestSubscription.objects.filter(user=user).values_list("org_id", flat=True)}
    return [
        AccountChoice(
            name=f"weekly-digest-{org_id}",
            label=gettext("Weekly digest of “%(org)s” by e-mail") % {"org": name},
            help_text=gettext("Every Monday: what the organisation spent on AI last week."),
            is_chosen=org_id in chosen,
            write=partial(_write, user, org_id),
        )
        for org_id, name in orgs
    ]


def _write(user: Any, org_id: int, is_wanted: bool) -> None:
    with scoped(user):
        (subscribe if is_wanted else unsubscribe)(user_id=user.pk, org_id=org_id)


def membership_deleted(instance: Membership, **_options: Any) -> None:
    """Delete the subscription of a person who has left: who comes back chooses again."""
    unsubscribe(user_id=instance.user_id, org_id=instance.org_id)


def membership_saved(instance: Membership, **options: Any) -> None:
    """Delete the subscription of a person who is an owner no longer."""
    if instance.role != Membership.Role.OWNER:
        membership_deleted(instance, **options)


def account_address() -> str:
    """The address of the page where people subscribe; empty without PUBLIC_URL or in a project without that page."""
    try:
        return f"{conf.PUBLIC_URL}{reverse('account')}#e-mails" if conf.PUBLIC_URL else ""
    except NoReverseMatch:
        return ""
