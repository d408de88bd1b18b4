"""The admin's base class and widgets: those of the theme (django-unfold) where it is installed, else Django's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin

if TYPE_CHECKING:
    # The theme's classes have no types.
    from django.contrib.admin.widgets import AdminTextareaWidget as Textarea
    from django.forms import Select

    ModelAdmin = admin.ModelAdmin[Any]
elif apps.is_installed("unfold"):
    from unfold.admin import ModelAdmin
    from unfold.widgets import UnfoldAdminSelectWidget as Select
    from unfold.widgets import UnfoldAdminTextareaWidget as Textarea
else:
    from django.contrib.admin.widgets import AdminTextareaWidget as Textarea
    from django.forms import Select

    ModelAdmin = admin.ModelAdmin

__all__ = ["ModelAdmin", "Select", "Textarea"]
