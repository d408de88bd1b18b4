"""The admin classes of the theme that the project has: django-unfold where it is installed, else Django's own."""

from __future__ import annotations

import json
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from django.apps import apps
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

__all__ = ["ModelAdmin", "Paginator", "TabularInline", "TextInput"]

Row = TypeVar("Row", bound=Model)

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as ThemedAdmin
    from django.contrib.admin import TabularInline
    from django.contrib.admin.widgets import AdminTextInputWidget as TextInput
else:
    if apps.is_installed("unfold"):
        from unfold.admin import ModelAdmin as BaseAdmin
        from unfold.admin import TabularInline as BaseInline
        from unfold.paginator import InfinitePaginator as Paginator  # counts nothing: next and previous only
        from unfold.widgets import UnfoldAdminTextInputWidget as TextInput
    else:
        from django.contrib.admin import ModelAdmin as BaseAdmin
        from django.contrib.admin import TabularInline as BaseInline
        from django.contrib.admin.widgets import AdminTextInputWidget as TextInput

    class Subscriptable:
        """Allows `ModelAdmin[Organization]`, which tells the type checker the model."""

        def __class_getitem__(cls, model: Any) -> Any:
            return cls

    class ThemedAdmin(Subscriptable, BaseAdmin):
        pass

    class TabularInline(Subscriptable, BaseInline):
        pass


class ModelAdmin(ThemedAdmin[Row]):
    """Uses `accusative`, the model's name as Russian declines it, in titles and buttons: “Add organisation”."""

    accusative: Any = ""

    def get_inline_formsets(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Take the text of the button that adds a row from the inline's `add_text`, which is declined."""
        formsets: list[Any] = super().get_inline_formsets(*args, **kwargs)
        for formset in formsets:
            if text := getattr(formset.opts, "add_text", ""):
                described = json.loads(formset.inline_formset_data())
                described["options"]["addText"] = str(text)
                formset.inline_formset_data = partial(json.dumps, described)
        return formsets

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: HttpResponse = self._declined(super().changelist_view(request, extra_context))
        return response

    def changeform_view(self, *args: Any, **kwargs: Any) -> Any:
        return self._declined(super().changeform_view(*args, **kwargs))

    def delete_view(self, *args: Any, **kwargs: Any) -> Any:
        return self._declined(super().delete_view(*args, **kwargs))

    def _declined(self, response: Any) -> Any:
        if not self.accusative or not isinstance(response, TemplateResponse) or response.context_data is None:
            return response
        context = response.context_data
        context["opts"] = opts = copy(self.opts)
        opts.verbose_name = self.accusative
        context["title"] = str(context["title"]).replace(str(self.opts.verbose_name), str(self.accusative))
        if "object_name" in context:
            context["object_name"] = self.accusative
        if "cl" in context:
            context["cl"].opts = opts
        return response
