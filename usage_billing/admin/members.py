"""Base of the tables of memberships on the page of an organisation, and on that of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest

from usage_billing.admin.scoped import Autocomplete, ScopedAdmin
from usage_billing.admin.theme import TabularInline
from usage_billing.models import Membership, Organization
from usage_billing.models.database import has_users

if TYPE_CHECKING:
    Table = TabularInline[Membership, Any]
else:
    Table = TabularInline


class MembershipTable(ScopedAdmin, Table):
    """Reads the rows, and the names of what they lead to, in a few queries for any number of rows.

    `chosen`: the field that a person chooses, `user` or `org`; the page is that of the other one.
    """

    model = Membership
    extra = 0
    chosen = ""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        rows = super().get_queryset(request)
        return rows.select_related("org", "user") if has_users() else rows.select_related("org")

    def get_formset(self, request: HttpRequest, obj: Any = None, **options: Any) -> Any:
        formset = super().get_formset(request, obj, **options)
        field = formset.form.base_fields.get(self.chosen)
        widget = getattr(field and field.widget, "widget", None)
        if obj is not None and isinstance(widget, Autocomplete):
            widget.known = self._names(self.get_queryset(request).filter(**{self._page_of: obj}))
        return formset

    @property
    def _page_of(self) -> str:
        return "user" if self.chosen == "org" else "org"

    def _names(self, rows: QuerySet[Membership]) -> dict[str, str]:
        model: Any = Organization if self.chosen == "org" else get_user_model()
        keys = [*rows.values_list(f"{self.chosen}_id", flat=True)]
        return {str(key): str(row) for key, row in model._default_manager.in_bulk(keys).items()}
