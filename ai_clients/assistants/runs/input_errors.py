"""The errors of an input, field by field, in the reader's language."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError

_TEXTS = {
    "missing": _("This field is required."),
    "extra_forbidden": _("There is no such field."),
    "string_type": _("Give a text."),
    "string_unicode": _("Give a text of valid Unicode characters."),
    "string_too_short": _("Too short: the least number of characters is %(min_length)s."),
    "string_too_long": _("Too long: the greatest number of characters is %(max_length)s."),
    "list_type": _("Give a list."),
    "too_short": _("Too few: the least number of entries is %(min_length)s."),
    "too_long": _("Too many: the greatest number of entries is %(max_length)s."),
    "model_type": _("Give an object."),
    "model_attributes_type": _("Give an object."),
    "literal_error": _("Give one of these: %(expected)s."),
    "int_type": _("Give a whole number."),
    "int_parsing": _("Give a whole number."),
    "int_from_float": _("Give a whole number."),
    "greater_than_equal": _("The least value is %(ge)s."),
    "less_than_equal": _("The greatest value is %(le)s."),
    "bool_type": _("Give true or false."),
    "bool_parsing": _("Give true or false."),
    "date_type": _("Give a date such as 2026-11-18."),
    "date_parsing": _("Give a date such as 2026-11-18."),
    "date_from_datetime_parsing": _("Give a date such as 2026-11-18."),
    "date_from_datetime_inexact": _("Give a date such as 2026-11-18."),
}
"""pydantic's kinds of error. One that is not here speaks for itself, in English."""


def by_field(error: ValidationError, *, under: str = "") -> dict[str, list[str]]:
    """`{"posts.0.text": ["Give a text."]}`; `under`: a name to put before each field."""
    found: dict[str, list[str]] = {}
    for one in error.errors(include_url=False, include_input=False):
        field = ".".join(filter(None, (under, *map(str, one["loc"]))))
        found.setdefault(field, []).append(text_of(one))
    return found


def text_of(one: Any) -> str:
    """The text of one of pydantic's errors."""
    text = _TEXTS.get(one["type"])
    if text is None:
        return str(one["msg"])
    given = dict(one.get("ctx", {}))
    if one["type"] == "literal_error":
        given["expected"] = given["expected"].replace(" or ", ", ")  # “or” is English
    return str(text % given)
