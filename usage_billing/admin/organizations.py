"""Organisations and their members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from usage_billing import reports
from usage_billing.admin.links import costs_link
from usage_billing.admin.scoped import ScopedAdmin
from usage_billing.admin.theme import ModelAdmin, TabularInline
from usage_billing.models import Membership, Organization
from usage_billing.models.organization import UNATTRIBUTED
from usage_billing.tenancy.scope import Scope


class MembershipInline(ScopedAdmin, TabularInline[Membership, Organization]):
    """Shows a member their own membership, and an owner the memberships of the whole organisation."""

    model = Membership
    extra = 0
    autocomplete_fields = ("user",)

    def in_scope(self, rows: QuerySet[Membership], scope: Scope) -> QuerySet[Membership]:
        return rows.filter(Q(user_id=scope.user_id) | Q(org_id__in=scope.owned_org_ids))


@admin.register(Organization)
class OrganizationAdmin(ScopedAdmin, ModelAdmin[Organization]):
    accusative = pgettext_lazy("accusative", "organisation")
    list_display = ("name", "slug", "timezone", "closed_at", "costs")
    search_fields = ("name", "slug")
    inlines = (MembershipInline,)

    def in_scope(self, rows: QuerySet[Organization], scope: Scope) -> QuerySet[Organization]:
        return rows.filter(pk__in=scope.org_ids)

    @admin.display(description=_("AI costs"))
    def costs(self, org: Organization) -> str:
        return costs_link(gettext("AI costs"), org=org.pk)

    def get_readonly_fields(self, request: HttpRequest, obj: Organization | None = None) -> tuple[str, ...]:
        """The zone has placed each call on its billing day; code finds the reserved organisation by its slug."""
        if obj is None:
            return ()
        zone = ("timezone",) if _with_calls([obj]) else ()
        return ("costs", "slug", *zone) if obj.slug == UNATTRIBUTED else ("costs", *zone)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Organization | None = None) -> dict[str, Any]:
        return {} if obj else {"slug": ("name",)}

    def has_delete_permission(self, request: HttpRequest, obj: Organization | None = None) -> bool:
        reserved = obj is not None and obj.slug == UNATTRIBUTED
        return not reserved and super().has_delete_permission(request, obj)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """Name what prevents a deletion, one line for each organisation: Django would load and list every call."""
        orgs = list(objs)
        reserved = [
            gettext("“%(org)s” is reserved for calls without an organisation.") % {"org": org}
            for org in orgs
            if org.slug == UNATTRIBUTED
        ]
        with_calls = [
            gettext("The AI calls of “%(org)s”. Close the organisation instead.") % {"org": org}
            for org in _with_calls(orgs)
        ]
        if reserved or with_calls:
            return [], {}, set(), reserved + with_calls
        return super().get_deleted_objects(orgs, request)


def _with_calls(orgs: Sequence[Organization]) -> list[Organization]:
    """Return the organisations with at least one call, in the ledger or in the archive."""
    with_calls = reports.orgs_with_calls(org.pk for org in orgs)
    return [org for org in orgs if org.pk in with_calls]
