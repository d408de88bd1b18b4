"""Cleans up after a deleted user. No foreign key can do it, because the user model may be in another database."""

from typing import Any

from usage_billing.models import DailyUsage, DeletedUser, Membership, PriceOverride, Session
from usage_billing.tenancy import roles


def forget_user(instance: Any, **_options: Any) -> None:
    """Delete the memberships and sessions of a deleted user. Usage records stay, and the user's name with them."""
    _keep_name(instance)
    Membership.objects.filter(user_id=instance.pk).delete()
    Session.objects.filter(user_id=instance.pk).delete()
    PriceOverride.objects.filter(created_by_id=instance.pk).update(created_by=None)


def _keep_name(user: Any) -> None:
    """Keep the name for every organisation that the user made calls for."""
    with roles.applied(roles.AS_LEDGER):
        calls = DailyUsage.objects.filter(grain="cube", user_id=user.pk)
        DeletedUser.objects.bulk_create(
            [
                DeletedUser(org_id=org_id, user_id=user.pk, name=user.get_username())
                for org_id in calls.order_by().values_list("org_id", flat=True).distinct()
            ],
            ignore_conflicts=True,
        )
