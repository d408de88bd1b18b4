"""Users and groups in the service's admin, for superadmins alone: who changes a user can make themselves anything."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from config.user_usage import DAYS, UserUsage, user_usage
from usage_billing import reports
from usage_billing.admin.links import calls_link
from usage_billing.admin.members import MembershipTable
from usage_billing.admin.scoped import ScopedRelatedFilter, SuperadminAdmin, request_scope
from usage_billing.admin.theme import ModelAdmin
from usage_billing.templatetags import amounts
from usage_billing.tenancy.scope import EVERYTHING

if TYPE_CHECKING:
    UserBase = DjangoUserAdmin[User]
    GroupBase = DjangoGroupAdmin
else:

    class UserBase(DjangoUserAdmin, ModelAdmin):
        pass

    class GroupBase(DjangoGroupAdmin, ModelAdmin):
        pass


admin.site.unregister(User)
admin.site.unregister(Group)


class UserChangeList(ChangeList):
    """Reads the usage of the page's users together, and gives each user theirs as `usage`."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        _with_usage(self.result_list, request)


def _with_usage(users: list[Any], request: HttpRequest) -> None:
    scope = request_scope(request)
    usage = user_usage(users, scope, scope.today(timezone.now()))
    for user in users:
        user.usage = usage.get(user.pk) or UserUsage()


class MembershipInline(SuperadminAdmin, MembershipTable):
    """The organisations of a user."""

    chosen = "org"
    verbose_name_plural = _("Organisations and roles")
    add_text = _("Add to an organisation")
    autocomplete_fields = ("org",)


@admin.register(User)
class UserAdmin(SuperadminAdmin, UserBase):
    accusative = pgettext_lazy("accusative", "user")
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "organisations", "last_call", "cost", "email", "is_superuser")
    list_filter = (("usage_memberships__org", ScopedRelatedFilter), "is_superuser", "is_staff", "is_active")
    readonly_fields = ("last_call", "cost")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return UserChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> User | None:
        user = super().get_object(request, object_id, from_field)
        if user is not None:
            _with_usage([user], request)
        return user

    def get_inlines(self, request: HttpRequest, obj: User | None = None) -> list[Any]:
        """The page that adds a user asks for a name and a password alone."""
        return [] if obj is None else [MembershipInline]

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        account, *others = super().get_fieldsets(request, obj)
        costs = () if obj is None else ((_("AI costs"), {"fields": (("last_call", "cost"),)}),)
        return (account, *costs, *others)

    @admin.display(description=_("organisations"))
    def organisations(self, user: Any) -> str:
        """Link to each organisation of the user, with the role there."""
        parts = (
            (
                reverse("admin:usage_billing_organization_change", args=[membership.org_id]),
                membership.org.name,
                membership.get_role_display(),
            )
            for membership in user.usage.memberships
        )
        return format_html_join(", ", '<a href="{}">{}</a> ({})', parts) or "—"

    @admin.display(description=_("last call"))
    def last_call(self, user: Any) -> str:
        at = user.usage.last_call_at
        return "—" if at is None else date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT")

    @admin.display(description=_("cost of 30 days, USD"))
    def cost(self, user: Any) -> str:
        """Link to the calls of the user, and to those among them that have no price."""
        cost = user.usage.cost
        if not cost["requests_count"]:
            return "—"
        calls = {"user": user.pk, "days": DAYS}
        link = calls_link(amounts.usd(cost["cost_usd"]), **calls)
        if not (unpriced := cost["unpriced_usd_count"]):
            return link
        text = gettext("unpriced: %(number)s") % {"number": unpriced}
        return format_html("{} · {}", link, calls_link(text, **calls, unpriced="usd"))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Say before a deletion that calls stay."""
        listed, *rest = super().get_deleted_objects(objs, request)
        (calls,) = reports.totals(EVERYTHING, filters={"user_id": {user.pk for user in objs}})
        if count := calls["requests_count"]:
            kept = ngettext(
                "%(count)s call stays in the ledger, under the name of its user",
                "%(count)s calls stay in the ledger, under the names of their users",
                count,
            )
            listed = [kept % {"count": count}, *listed]
        return (listed, *rest)


@admin.register(Group)
class GroupAdmin(SuperadminAdmin, GroupBase):
    accusative = pgettext_lazy("accusative", "group")
