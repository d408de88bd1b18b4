"""Cleans up after a deleted user. No foreign key can do it, because the user model may be in another database."""

from typing import Any

from usage_billing.models import Membership, PriceOverride, Session


def forget_user(instance: Any, **_options: Any) -> None:
    """Delete the memberships and sessions of a deleted user. Usage records stay."""
    Membership.objects.filter(user_id=instance.pk).delete()
    Session.objects.filter(user_id=instance.pk).delete()
    PriceOverride.objects.filter(created_by_id=instance.pk).update(created_by=None)
