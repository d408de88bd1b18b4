"""Users and groups in the service's admin, for superadmins alone: who changes a user can make themselves anything."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.utils.translation import pgettext_lazy
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from usage_billing.admin.scoped import SuperadminAdmin
from usage_billing.admin.theme import ModelAdmin

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


@admin.register(Group)
class GroupAdmin(SuperadminAdmin, GroupBase):
    accusative = pgettext_lazy("accusative", "group")
