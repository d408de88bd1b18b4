"""Makes the form field of one field of a pydantic model, from the model's JSON Schema.

The field converts what a person typed, and gives the browser the bounds. pydantic validates the result.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from pydantic.fields import FieldInfo

from ai_clients.assistants.admin.theme import INPUT_CLASSES, CheckboxInput, NumberInput, Select, Textarea, TextInput
from ai_clients.assistants.runs.labels import label, value_name
from usage_billing.admin.json_field import BoundedJSONField

ONE_LINE_UP_TO = 500
"""The longest text, in characters, that gets a field of one line."""
LARGE_FROM = 8_000
"""From this length on a text gets a large field."""

Schema = Mapping[str, Any]


class LinesField(forms.CharField):
    """A list of texts, one a line. Empty lines are left out."""

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(self.prepare_value(initial)) != self.to_python(data))


def form_field(name: str, info: FieldInfo, schema: Schema, *, required: bool) -> forms.Field:
    """The form field. `schema` is the field's own: without `$ref`, and without the `null` of an optional one."""
    common: dict[str, Any] = {
        "label": label(name, info),
        "help_text": gettext(info.description) if info.description else "",
        "required": required,
    }
    if required is False and info.get_default() not in (None, "", []):
        common["initial"] = info.get_default(call_default_factory=True, validated_data={})
    if "enum" in schema or "const" in schema:
        return _choice(info, common)
    if schema.get("type") == "array" and schema.get("items", {}).get("type") == "string":
        return _lines(schema, common)
    kind = schema.get("format") or schema.get("type")
    make = _MAKERS.get(str(kind)) or _MAKERS.get(str(schema.get("type")), _json)
    return make(schema, common)


def values_of(annotation: Any) -> list[Any]:
    """The values of a `Literal` or an enumeration inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return list(annotation)
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in values_of(part)]


def _choice(info: FieldInfo, common: dict[str, Any]) -> forms.Field:
    values = values_of(info.annotation)
    by_text = {str(getattr(value, "value", value)): value for value in values}
    choices = [(text, capfirst(value_name(info, value))) for text, value in by_text.items()]
    if "initial" not in common:
        choices = [("", "—"), *choices]
    else:
        common["initial"] = getattr(common["initial"], "value", common["initial"])
    return forms.TypedChoiceField(
        **common, choices=choices, coerce=by_text.__getitem__, empty_value=None, widget=Select()
    )


def _text(schema: Schema, common: dict[str, Any]) -> forms.Field:
    longest = schema.get("maxLength")
    if schema.get("format") == "uri" or (longest is not None and longest <= ONE_LINE_UP_TO):
        widget: forms.Widget = TextInput()
    else:
        widget = Textarea(attrs={"rows": 10 if longest is None or longest >= LARGE_FROM else 3})
    return forms.CharField(**common, max_length=longest, min_length=schema.get("minLength"), widget=widget)


def _lines(schema: Schema, common: dict[str, Any]) -> forms.Field:
    notes = [common["help_text"], gettext("One per line.")]
    if most := schema.get("maxItems"):
        notes.append(ngettext("At most %(number)s line.", "At most %(number)s lines.", most) % {"number": most})
    return LinesField(**{**common, "help_text": _sentences(notes)}, widget=Textarea(attrs={"rows": 4}))


def _whole_number(schema: Schema, common: dict[str, Any]) -> forms.Field:
    return forms.IntegerField(**_bounded(schema, common), widget=NumberInput())


def _number(schema: Schema, common: dict[str, Any]) -> forms.Field:
    return forms.FloatField(**_bounded(schema, common), widget=NumberInput(attrs={"step": "any"}))


def _bounded(schema: Schema, common: dict[str, Any]) -> dict[str, Any]:
    """The options with the bounds, which the help states too."""
    low, high = schema.get("minimum"), schema.get("maximum")
    notes = [common["help_text"]]
    if low is not None and high is not None:
        notes.append(gettext("From %(low)s to %(high)s.") % {"low": low, "high": high})
    return {**common, "help_text": _sentences(notes), "min_value": low, "max_value": high}


def _yes_or_no(_schema: Schema, common: dict[str, Any]) -> forms.Field:
    return forms.BooleanField(**{**common, "required": False}, widget=CheckboxInput())


def _date(_schema: Schema, common: dict[str, Any]) -> forms.Field:
    attrs = {"type": "date", "class": " ".join(INPUT_CLASSES)}
    return forms.DateField(**common, widget=forms.DateInput(format="%Y-%m-%d", attrs=attrs))


def _json(_schema: Schema, common: dict[str, Any]) -> forms.Field:
    notes = [common["help_text"], gettext("Write it as JSON: {…} for an object, […] for a list.")]
    return BoundedJSONField(**{**common, "help_text": _sentences(notes)}, widget=Textarea(attrs={"rows": 4}))


def _sentences(notes: Sequence[str]) -> str:
    """The notes as sentences. A description has no full stop of its own."""
    return " ".join(note if note.endswith((".", "!", "?")) else f"{note}." for note in notes if note)


_MAKERS = {
    "string": _text,
    "integer": _whole_number,
    "number": _number,
    "boolean": _yes_or_no,
    "date": _date,
}
