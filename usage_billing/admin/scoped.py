"""Limits the admin to the rows in the person's scope, on every database.

Django's permissions say which actions a member of staff may take; the scope says on which rows. Each registered admin
and each inline is based on one of these classes. On PostgreSQL, row-level security enforces the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from usage_billing.tenancy.scope import Scope, scope_of
from usage_billing.tenancy.views import known_scope

if TYPE_CHECKING:
    Base = BaseModelAdmin[Any]
else:
    # Mixed into the theme's classes, those of inlines among them.
    Base = object


def request_scope(request: HttpRequest) -> Scope:
    """Return the scope that `ScopeMiddleware` has set, or the user's own scope in a view without it."""
    scope = known_scope(request)
    return scope_of(request.user) if scope is None else scope


class Autocomplete(AutocompleteSelect):
    """Leaves out values that cannot be keys: Django queries them before the form refuses them, and the query fails.

    `known`: labels of chosen rows by their keys, so that a list of forms needs no query for each.
    """

    known: Mapping[str, str] = {}

    def optgroups(self, name: str, value: Sequence[str], attr: dict[str, Any] | None = None) -> list[Any]:
        keys = [str(each) for each in value if self._is_key(each)]
        if not keys or not {*keys} <= self.known.keys():
            return super().optgroups(name, keys, attr)
        return [(None, [self.create_option(name, key, self.known[key], True, 0) for key in keys], 0)]

    def _is_key(self, value: str) -> bool:
        try:
            self.field.to_python(value)
        except ValidationError:
            return False
        return True


class ScopedAdmin(Base):
    """Staff look at the rows in their scope; superadmins look at all rows and change them."""

    def in_scope(self, rows: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        """Return the rows in a scope that is not everything."""
        raise NotImplementedError(f"{type(self).__name__} has to define in_scope().")

    def may_change(self, scope: Scope, row: Any = None) -> bool:
        """Tell whether people of this scope, who have the permission, may add rows, or change and delete this row."""
        return scope.everything

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows, scope = super().get_queryset(request), request_scope(request)
        return rows if scope.everything else self.in_scope(rows, scope)

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> QuerySet[Any] | None:
        """Return the choices of a form field: the rows that the other model's admin shows."""
        if request_scope(request).everything:
            return super().get_field_queryset(db, db_field, request)
        return self.admin_site.get_model_admin(db_field.remote_field.model).get_queryset(request)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            options.setdefault("widget", Autocomplete(db_field, self.admin_site, using=options.get("using")))
        return super().formfield_for_foreignkey(db_field, request, **options)

    def has_add_permission(self, request: HttpRequest, *parent: Any) -> bool:
        return self.may_change(request_scope(request)) and super().has_add_permission(request, *parent)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_change(request_scope(request), obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_change(request_scope(request), obj) and super().has_delete_permission(request, obj)


class TenantAdmin(ScopedAdmin):
    """Rows of an organisation (`org`), which its people may see and change."""

    def in_scope(self, rows: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        return rows.filter(org_id__in=scope.org_ids)

    def may_change(self, scope: Scope, row: Any = None) -> bool:
        if scope.everything:
            return True
        return not scope.is_empty if row is None else row.org_id in scope.org_ids


class SuperadminAdmin(ScopedAdmin):
    """Rows for superadmins alone."""

    def in_scope(self, rows: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        return rows.none()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request_scope(request).everything and super().has_view_permission(request, obj)


class ScopedRelatedFilter(admin.RelatedFieldListFilter):
    """A filter by a related row, which offers the rows in scope without scanning the list."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[Any]:
        related = model_admin.admin_site.get_model_admin(field.remote_field.model)
        rows = related.get_queryset(request).order_by(*self.field_admin_ordering(field, request, model_admin))
        return [(row.pk, str(row)) for row in rows]
