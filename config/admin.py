"""Users and groups in the service's admin, for superadmins alone: who changes a user can make themselves anything."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.utils.translation import ngettext, pgettext_lazy
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from usage_billing import reports
from usage_billing.admin.scoped import SuperadminAdmin
from usage_billing.admin.theme import ModelAdmin
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


@admin.register(User)
class UserAdmin(SuperadminAdmin, UserBase):
    accusative = pgettext_lazy("accusative", "user")
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

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
