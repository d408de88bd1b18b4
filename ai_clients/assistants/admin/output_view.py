"""Makes what the page shows of an agent's output: each field with its label, and how to show its value."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pydantic
from django.utils.translation import get_language, gettext
from pydantic.fields import FieldInfo

from ai_clients.assistants.admin.input_fields import values_of
from ai_clients.assistants.content.wording import one_line
from ai_clients.assistants.runs.labels import Heading, Image, Names, RowsOf, Tone, label, mark, tone, value_name
from usage_billing.templatetags.amounts import style_of, write_number, written_day

LONGEST_MENTION = 80


@dataclass(frozen=True)
class Shown:
    """One field. kind: `text`, `badge`, `lines`, `image`, `card` or `cards`, each a part of the template.

    value: a text, texts, the address of the image, a card, or cards; empty if the model left the field empty.
    """

    label: str
    kind: str
    value: Any
    tone: Tone = ""


@dataclass(frozen=True)
class Card:
    """An object: its heading, the badges beside it, and its other fields."""

    heading: str = ""
    badges: list[Shown] = field(default_factory=list)
    fields: list[Shown] = field(default_factory=list)


def card(made: pydantic.BaseModel, given: pydantic.BaseModel | None = None) -> Card:
    """The output as a card. `given`: the input, whose rows the output's numbers may name."""
    heading = ""
    badges: list[Shown] = []
    fields: list[Shown] = []
    for name, info in type(made).model_fields.items():
        value = getattr(made, name)
        if mark(info, Heading):
            heading = str(value)
            continue
        shown = _shown(label(name, info), info, value, made, given)
        (badges if shown.kind == "badge" else fields).append(shown)
    return Card(heading, badges, fields)


def _shown(name: str, info: FieldInfo, value: Any, made: pydantic.BaseModel, given: pydantic.BaseModel | None) -> Shown:
    if image := mark(info, Image):
        return Shown(name, "image", f"data:{getattr(made, image.media_type)};base64,{value}")
    if isinstance(value, pydantic.BaseModel):
        return Shown(name, "card", card(value, given))
    if isinstance(value, bool) or mark(info, Names) or _is_choice(info, value):
        return Shown(name, "badge", _badge(info, value), tone(info, value))
    if isinstance(value, list | tuple):
        return _list(name, info, value, given)
    return Shown(name, "text", _text(value))


def _is_choice(info: FieldInfo, value: Any) -> bool:
    """Whether the value is one of several that the field may have."""
    return not isinstance(value, list) and len(values_of(info.annotation)) > 1


def _list(name: str, info: FieldInfo, values: Sequence[Any], given: pydantic.BaseModel | None) -> Shown:
    if values and isinstance(values[0], pydantic.BaseModel):
        return Shown(name, "cards", [card(value, given) for value in values])
    if rows := mark(info, RowsOf):
        return Shown(name, "lines", [_mention(number, getattr(given, rows.name, ())) for number in values])
    return Shown(name, "lines", [_text(value) for value in values])


def _badge(info: FieldInfo, value: Any) -> str:
    if isinstance(value, bool) and not mark(info, Names):
        return gettext("yes") if value else gettext("no")
    return value_name(info, value)


def _mention(number: int, rows: Sequence[pydantic.BaseModel]) -> str:
    """`2. Its heading`: the row of the input that the number names; the number alone if there is none."""
    if not 1 <= number <= len(rows):
        return str(number)
    row = rows[number - 1]
    headings = [getattr(row, name) for name, info in type(row).model_fields.items() if mark(info, Heading)]
    return f"{number}. {one_line(str(headings[0]), LONGEST_MENTION)}" if headings else str(number)


def _text(value: Any) -> str:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return write_number(value, style_of(get_language()))
    if isinstance(value, float):
        return write_number(Decimal(str(value)), style_of(get_language()))
    if isinstance(value, datetime.date):
        return written_day(value)
    if isinstance(value, enum.Enum):
        return str(getattr(value, "label", value.value))
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(each)}" for key, each in value.items())
    return "" if value is None else str(value)
