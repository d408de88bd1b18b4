"""Names the users of the rows that an admin shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from usage_billing import reports

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    # Mixed into the theme's class.
    Base = object

_NAME = "user_name"
"""The attribute of a shown row with its user's name."""


def user_name(row: Any) -> str:
    """The name of the user of a row that `NamesUsers` shows, of a deleted one too; else the number."""
    return str(getattr(row, _NAME))


class NamesUsers(Base):
    """For rows with `user_id`, named by the column `who`: two queries for all rows of a list, instead of for each."""

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            _name_users([row])
        return row

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        if "who" in changelist.list_display:
            _name_users(changelist.result_list)
        return changelist


def _name_users(rows: Iterable[Any]) -> None:
    names = reports.user_names(row.user_id for row in rows)
    for row in rows:
        setattr(row, _NAME, names.get(row.user_id, f"#{row.user_id}"))
