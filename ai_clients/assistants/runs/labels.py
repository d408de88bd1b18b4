"""Marks on the fields of an agent's input and output that say how people see them. The model never sees these.

A field's name for people is its `title`, marked for translation with `gettext_noop`; its help is its `description`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from django.utils.translation import gettext
from pydantic.fields import FieldInfo

Tone = Literal["good", "warning", "bad", ""]


@dataclass(frozen=True, eq=False)
class Names:
    """The names of a field's values, and which of the values are good or bad news."""

    texts: Mapping[Any, Any]
    tones: Mapping[Any, Tone] = field(default_factory=dict)


@dataclass(frozen=True)
class RowsOf:
    """The field's numbers count the rows of this field of the input, from one."""

    name: str


@dataclass(frozen=True)
class Heading:
    """The field's text is the heading of the object that it belongs to."""


@dataclass(frozen=True)
class Image:
    """The field is a picture as base64; another field has its media type."""

    media_type: str


def mark(info: FieldInfo, kind: type[Any]) -> Any:
    """The field's mark of this kind; None without one."""
    return next((one for one in info.metadata if isinstance(one, kind)), None)


def label(name: str, info: FieldInfo) -> str:
    """The field's name for people."""
    return gettext(info.title) if info.title else name.replace("_", " ").capitalize()


def value_name(info: FieldInfo, value: Any) -> str:
    """The name of one of the field's values: its own, that of Django's enumeration, or the value as words."""
    names = mark(info, Names)
    if names is not None and value in names.texts:
        return str(names.texts[value])
    return str(getattr(value, "label", None) or value).replace("_", " ")


def tone(info: FieldInfo, value: Any) -> Tone:
    names = mark(info, Names)
    found: Tone = names.tones.get(value, "") if names is not None else ""
    return found
