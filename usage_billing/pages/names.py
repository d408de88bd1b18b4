"""What people call the things that calls name by a number: organisations, users, pieces of content."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from django.utils.translation import gettext

from usage_billing.models import Organization
from usage_billing.pages import hooks
from usage_billing.pages.dimensions import CONTENT, MODEL, ORG, USER, Dimension
from usage_billing.reports import Later, send_queryset
from usage_billing.tenancy.scope import Scope


@dataclass
class Names:
    """Ids → names, of what the person may see; anything else is shown by its number."""

    orgs: Mapping[int, str] = field(default_factory=dict)
    users: Mapping[int, str] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)

    def org(self, id_: int) -> str:
        return self.orgs.get(id_, f"#{id_}")

    def user(self, id_: int | None) -> str:
        """A record outlives its user: one that is gone is shown by number."""
        return self.users.get(id_, f"#{id_}") if id_ else gettext("system")

    def of(self, dimension: Dimension, key: tuple[Any, ...]) -> str:
        value = key[-1]
        if dimension is ORG:
            return self.org(value)
        if dimension is USER:
            return self.user(value)
        if dimension is CONTENT:
            return self.contents.get(value, str(value))
        if dimension is MODEL:
            return str(value or "—")
        return str(value or dimension.nothing)


def of_organizations(scope: Scope) -> Later[dict[int, str]]:
    """All that are in scope, by name. One query."""
    rows = Organization.objects.order_by("name")
    if not scope.everything:
        rows = rows.filter(pk__in=scope.org_ids)
    found = send_queryset(rows.values_list("pk", "name"))
    return lambda: dict(found())


def of_users(ids: Iterable[int | None]) -> Later[dict[int, str]]:
    """Of users whose calls are in scope. One query."""
    users = get_user_model()
    wanted = {id_ for id_ in ids if id_}
    found = send_queryset(users._default_manager.filter(pk__in=wanted).values_list("pk", users.USERNAME_FIELD))
    return lambda: dict(found())


def of_contents(scope: Scope, ids: Collection[str]) -> dict[str, str]:
    return hooks.content_titles(scope, ids)
