"""Names of users by their keys, of deleted ones too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model

from usage_billing.models import DeletedUser
from usage_billing.models.user_keys import is_user


def user_names(keys: Iterable[Any]) -> dict[Any, str]:
    """User key → name. The keys are those of calls in scope. One query; a second one if a user was deleted."""
    users = get_user_model()
    wanted = {key for key in keys if is_user(key)}
    names = dict(users._default_manager.filter(pk__in=wanted).values_list("pk", users.USERNAME_FIELD))
    if gone := wanted - names.keys():
        names |= dict(DeletedUser.objects.filter(user_id__in=gone).values_list("user_id", "name"))
    return names
