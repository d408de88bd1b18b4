"""Organisations and their members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from usage_billing import reports
from usage_billing.admin.links import calls_address, costs_address, costs_link, page_address
from usage_billing.admin.members import MembershipTable
from usage_billing.admin.scoped import ScopedAdmin, request_scope
from usage_billing.admin.suggestions import SuggestingTextInput, time_zones
from usage_billing.admin.theme import ModelAdmin
from usage_billing.models import Membership, Organization
from usage_billing.models.organization import UNATTRIBUTED
from usage_billing.reports import Period
from usage_billing.tenancy.scope import Scope

DAYS = 30
"""The figures of an organisation are of so many days."""
ZONE_DECIDES = _(
    "Decides on which billing day a call counts, and when an organisation's month begins. It can be changed until the "
    "first call is recorded; then the days of its calls are fixed."
)
ZONE_IS_FIXED = _(
    "Decided on which billing day each recorded call counts. It cannot be changed any more: days and months of past "
    "reports would not agree with the calls."
)


class MembershipInline(MembershipTable):
    """Shows a member their own membership, and an owner the memberships of the whole organisation."""

    chosen = "user"
    verbose_name_plural = _("Members and their roles")
    add_text = _("Add a member")
    autocomplete_fields = ("user",)

    def in_scope(self, rows: QuerySet[Membership], scope: Scope) -> QuerySet[Membership]:
        return rows.filter(Q(user_id=scope.user_id) | Q(org_id__in=scope.owned_org_ids))


@admin.register(Organization)
class OrganizationAdmin(ScopedAdmin, ModelAdmin[Organization]):
    accusative = pgettext_lazy("accusative", "organisation")
    list_display = ("name", "slug", "timezone", "closed_at", "costs")
    search_fields = ("name", "slug")
    inlines = (MembershipInline,)
    change_form_template = "admin/usage_billing/organization_form.html"

    class Media:
        css = {"all": ("usage_billing/admin_forms.css",)}

    def in_scope(self, rows: QuerySet[Organization], scope: Scope) -> QuerySet[Organization]:
        return rows.filter(pk__in=scope.org_ids)

    @admin.display(description=_("AI costs"))
    def costs(self, org: Organization) -> str:
        return costs_link(gettext("AI costs"), org=org.pk)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        org = self.get_object(request, object_id)
        figures = {} if org is None else self._figures(request, org)
        return super().change_view(request, object_id, form_url, {**figures, **(extra_context or {})})

    def _figures(self, request: HttpRequest, org: Organization) -> dict[str, Any]:
        """Return what the last days cost in the organisation's time zone, and the address of these calls."""
        scope, today = request_scope(request), timezone.now().astimezone(org.zone).date()
        period = Period.of_days(DAYS, today)
        (total,) = reports.totals(scope, filters={"org_id": org.pk}, period=period)
        return {
            "figures": total,
            "figure_days": DAYS,
            # Not `days`: the page counts days in the reader's time zone.
            "figures_address": calls_address(**{"org": org.pk, "from": period.since}),
            "costs_address": costs_address(org=org.pk),
            "budgets_address": page_address("budgets", query={"org": org.pk}),
        }

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "timezone":
            options["widget"] = SuggestingTextInput(time_zones())
        return super().formfield_for_dbfield(db_field, request, **options)

    def get_form(
        self, request: HttpRequest, obj: Organization | None = None, change: bool = False, **options: Any
    ) -> Any:
        is_fixed = "timezone" in self.get_readonly_fields(request, obj)
        help_texts = {"timezone": ZONE_IS_FIXED if is_fixed else ZONE_DECIDES}
        return super().get_form(request, obj, change, help_texts=help_texts, **options)

    def get_readonly_fields(self, request: HttpRequest, obj: Organization | None = None) -> tuple[str, ...]:
        """The zone has placed each call on its billing day; code finds the reserved organisation by its slug."""
        if obj is None:
            return ()
        if not hasattr(obj, "has_calls"):  # asked several times a page
            obj.has_calls = bool(_with_calls([obj]))  # type: ignore[attr-defined]
        zone = ("timezone",) if obj.has_calls else ()  # type: ignore[attr-defined]
        return ("slug", *zone) if obj.slug == UNATTRIBUTED else zone

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
