"""The widgets of the theme (django-unfold) where it is installed, else Django's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.contrib.admin.widgets import AdminTextareaWidget
from django.forms import Select

if TYPE_CHECKING or not apps.is_installed("unfold"):
    # The theme's classes have no types.
    Textarea = AdminTextareaWidget
else:
    from unfold.widgets import UnfoldAdminSelectWidget as Select
    from unfold.widgets import UnfoldAdminTextareaWidget as Textarea

__all__ = ["Select", "Textarea"]
