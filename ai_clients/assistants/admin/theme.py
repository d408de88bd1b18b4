"""The widgets of the theme (django-unfold) where it is installed, else Django's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from django.contrib.admin.widgets import AdminTextareaWidget
from django.forms import CheckboxInput, NumberInput, Select, TextInput

if TYPE_CHECKING or not apps.is_installed("unfold"):
    # The theme's classes have no types.
    Textarea = AdminTextareaWidget
    INPUT_CLASSES: list[str] = []
else:
    from unfold.widgets import INPUT_CLASSES
    from unfold.widgets import UnfoldAdminIntegerFieldWidget as NumberInput
    from unfold.widgets import UnfoldAdminSelectWidget as Select
    from unfold.widgets import UnfoldAdminTextareaWidget as Textarea
    from unfold.widgets import UnfoldAdminTextInputWidget as TextInput
    from unfold.widgets import UnfoldBooleanWidget as CheckboxInput

__all__ = ["INPUT_CLASSES", "CheckboxInput", "NumberInput", "Select", "TextInput", "Textarea"]
