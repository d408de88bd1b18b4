"""Cleans up after a deleted user. No foreign key can do it, because the user model may be in another database."""

from typing import Any

from django.utils.translation import gettext

from usage_billing import reports
from usage_billing.budgets import editing, requests
from usage_billing.models import Budget, BudgetRequest, DeletedUser, Membership, PriceOverride, SavedView, Session
from usage_billing.tenancy.scope import EVERYTHING, within


def forget_user(instance: Any, **_options: Any) -> None:
    """Delete the memberships, sessions, private views and open requests of a deleted user.

    Usage records stay, and the user's name with them; views that were shared stay with those who use them. Budgets of
    the user stay with what they counted, inactive.
    """
    # Whoever deletes a user, the system cleans up: in every organisation, and also as the web's login.
    with within(EVERYTHING):
        _keep_name(instance)
        Membership.objects.filter(user_id=instance.pk).delete()
        Session.objects.filter(user_id=instance.pk).delete()
        SavedView.objects.filter(user_id=instance.pk, is_shared=False).delete()
        SavedView.objects.filter(user_id=instance.pk).update(user=None, is_start=False)
        requests.forget_user(instance.pk)
        editing.deactivate_of_user(instance.pk, by=gettext("the deletion of the user"))
        PriceOverride.objects.filter(created_by_id=instance.pk).update(created_by=None)


def _keep_name(user: Any) -> None:
    """Keep the name for every organisation that the user made calls for, or that has budgets or requests of theirs."""
    org_ids = {
        org_id
        for model in (Budget, BudgetRequest)
        for org_id in model._default_manager.filter(user_id=user.pk).values_list("org_id", flat=True)
    }
    by_org = reports.totals(EVERYTHING, by=["org_id"], filters={"user_id": user.pk})
    DeletedUser.objects.bulk_create(
        [
            DeletedUser(org_id=org_id, user_id=user.pk, name=user.get_username())
            for org_id in sorted(org_ids | {row["org_id"] for row in by_org})
        ],
        ignore_conflicts=True,
    )
