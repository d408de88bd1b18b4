"""Names of organisations, users and pieces of content, by their ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext

from usage_billing.models import Organization
from usage_billing.models.user_keys import is_user
from usage_billing.pages import hooks
from usage_billing.pages.dimensions import CONTENT, MODEL, ORG, USER, Dimension
from usage_billing.tenancy.scope import Scope


@dataclass
class Names:
    """Ids → names the person may see; anything else is shown by its number."""

    orgs: Mapping[int, str] = field(default_factory=dict)
    users: Mapping[int, str] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)

    def org(self, id_: int) -> str:
        return self.orgs.get(id_, f"#{id_}")

    def user(self, id_: Any) -> str:
        """A user whose name is not known is shown by number."""
        return self.users.get(id_, f"#{id_}") if is_user(id_) else gettext("system")

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


def of_organizations(scope: Scope) -> dict[int, str]:
    """All organisations in scope, in the order of their names. One query."""
    rows = Organization.objects.order_by("name")
    if not scope.everything:
        rows = rows.filter(pk__in=scope.org_ids)
    return dict(rows.values_list("pk", "name"))


def of_contents(scope: Scope, ids: Collection[str]) -> dict[str, str]:
    return hooks.content_titles(scope, ids)
