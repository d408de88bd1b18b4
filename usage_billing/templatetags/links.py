"""Links around a number or a name, where there is something to lead to."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.html import format_html

register = template.Library()


@register.filter
def linked(text: Any, address: str | None) -> Any:
    """The text as a link; as it is without an address."""
    return format_html('<a href="{}">{}</a>', address, text) if address else text
