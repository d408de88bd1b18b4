"""Names of organisations, users and pieces of content, by their ids."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext

from usage_billing import reports
from usage_billing.models import Organization, UsageRecord, user_keys
from usage_billing.models.user_keys import is_user
from usage_billing.pages import hooks
from usage_billing.pages.dimensions import CONTENT, ORG, STATUS, USER, Dimension
from usage_billing.tenancy.scope import Scope

_STATUSES = dict(UsageRecord.Status.choices)


@dataclass
class Names:
    """Ids → names the person may see; anything else is shown by its number. Names are looked up in `look_up`."""

    scope: Scope
    orgs: dict[int, str] = field(default_factory=dict)
    users: dict[Any, str] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    """Organisations that were looked up; some may be gone."""

    def look_up(
        self, *, users: Iterable[Any] = (), contents: Iterable[str | None] = (), orgs: Iterable[int] = ()
    ) -> None:
        """Learn these names. One query for users, one for organisations, and what the content's sources need."""
        if unknown := {*orgs} - self.orgs.keys() - self.asked:
            self.asked |= unknown
            self.orgs |= of_organizations(self.scope, unknown)
        wanted = {key for key in users if is_user(key)} - self.users.keys()
        if wanted:
            self.users |= reports.user_names(wanted)
        missing: Collection[str] = {id_ for id_ in contents if id_} - self.contents.keys()
        if missing:
            self.contents |= hooks.content_titles(self.scope, missing)

    def look_up_rows(self, dimension: Dimension, rows: Iterable[Mapping[str, Any]]) -> None:
        """Learn the names of a breakdown's rows."""
        if dimension == USER:
            self.look_up(users=(row["user_id"] for row in rows))
        elif dimension == ORG:
            self.look_up(orgs=(row["org_id"] for row in rows))
        elif dimension == CONTENT:
            self.look_up(contents=(row["content_id"] for row in rows))

    def org(self, id_: int) -> str:
        self.look_up(orgs=[id_])
        return self.orgs.get(id_, f"#{id_}")

    def user(self, id_: Any) -> str:
        """A user whose name is not known is shown by number."""
        return self.users.get(id_, f"#{id_}") if is_user(id_) else gettext("system")

    def of(self, dimension: Dimension, key: tuple[Any, ...]) -> str:
        value = key[-1]
        if dimension == ORG:
            return self.org(value)
        if dimension == USER:
            return self.user(value)
        if dimension == CONTENT and value:
            return self.contents.get(value, str(value))
        if dimension == STATUS:
            return str(_STATUSES.get(value, value))
        return str(value or dimension.nothing)

    def of_text(self, dimension: Dimension, text: str) -> str:
        """The name of a value that is written in the address."""
        if dimension == ORG:
            return self.org(int(text))
        if dimension == USER:
            return self.user(user_keys.parse(text))
        return self.of(dimension, (text,))


def of_organizations(scope: Scope, ids: Collection[int] | None = None) -> dict[int, str]:
    """The organisations in scope, of these if ids are given, in the order of their names. One query."""
    rows = Organization.objects.order_by("name")
    if not scope.everything:
        rows = rows.filter(pk__in=scope.org_ids)
    if ids is not None:
        rows = rows.filter(pk__in=ids)
    return dict(rows.values_list("pk", "name"))
