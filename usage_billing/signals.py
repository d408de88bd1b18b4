"""Cleans up after a deleted user. No foreign key can do it, because the user model may be in another database."""

from typing import Any

from usage_billing import reports
from usage_billing.models import DeletedUser, Membership, PriceOverride, SavedView, Session
from usage_billing.tenancy import roles
from usage_billing.tenancy.scope import EVERYTHING


def forget_user(instance: Any, **_options: Any) -> None:
    """Delete the memberships, sessions and private views of a deleted user.

    Usage records stay, and the user's name with them; views that were shared stay with those who use them.
    """
    _keep_name(instance)
    Membership.objects.filter(user_id=instance.pk).delete()
    Session.objects.filter(user_id=instance.pk).delete()
    SavedView.objects.filter(user_id=instance.pk, is_shared=False).delete()
    SavedView.objects.filter(user_id=instance.pk).update(user=None, is_start=False)
    PriceOverride.objects.filter(created_by_id=instance.pk).update(created_by=None)


def _keep_name(user: Any) -> None:
    """Keep the name for every organisation that the user made calls for."""
    with roles.applied(roles.AS_LEDGER):
        by_org = reports.totals(EVERYTHING, by=["org_id"], filters={"user_id": user.pk})
        DeletedUser.objects.bulk_create(
            [DeletedUser(org_id=row["org_id"], user_id=user.pk, name=user.get_username()) for row in by_org],
            ignore_conflicts=True,
        )
