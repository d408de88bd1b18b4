"""Makes a Django form from a pydantic model: typed fields, a fieldset for a nested model, rows for a list of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import pydantic
from django import forms
from django.forms.formsets import BaseFormSet, formset_factory
from django.utils.translation import gettext

from ai_clients.assistants.admin.input_fields import Schema, form_field
from ai_clients.assistants.runs.input_errors import text_of
from ai_clients.assistants.runs.labels import label

FIRST_ROWS = 2
"""Empty rows of a list when the form is opened."""
MORE_ROWS = 3
"""Empty rows that the button adds."""
MOST_ROWS = 100
"""The most rows of a list whose model does not limit them."""
ADD = "add_rows"
"""The name of that button; its value is the prefix of the rows."""


if TYPE_CHECKING:
    RowsBase = BaseFormSet["InputForm"]
else:
    RowsBase = BaseFormSet


class Rows(RowsBase):
    """The rows of a list. Rows left empty do not count."""

    label = ""
    help_text = ""
    most = 0

    def initial_form_count(self) -> int:
        # Every row that was sent may be empty, those that were there at first too.
        return 0 if self.is_bound else super().initial_form_count()

    @property
    def filled(self) -> list[InputForm]:
        return [form for form in self.forms if form.has_changed()]


@dataclass(frozen=True)
class Part:
    """One part of a form, in the model's order: a field, or a form, or rows."""

    field: Any = None
    form: InputForm | None = None
    rows: Rows | None = None


@dataclass(frozen=True)
class ListedError:
    """An error, and the field that it is about: its name and its HTML id, empty for the whole form."""

    label: str
    id: str
    text: str


class InputForm(forms.Form):
    """The form of a pydantic model. `validated` is the only way to its result."""

    model: ClassVar[type[pydantic.BaseModel]]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.label = self.help_text = ""
        self.forms: dict[str, InputForm] = {}
        self.rows: dict[str, Rows] = {}
        for name, info in self.model.model_fields.items():
            schema = _schemas(self.model)[name]
            inner, is_list = _nested(info.annotation)
            if inner is None:
                # Made here, not in the class: its texts are in the reader's language.
                self.fields[name] = form_field(name, info, schema, required=info.is_required())
                continue
            made = self._rows(name, inner, schema) if is_list else self._form(name, inner, info.is_required())
            made.label, made.help_text = label(name, info), gettext(info.description) if info.description else ""

    def _form(self, name: str, model: type[pydantic.BaseModel], required: bool) -> InputForm:
        may_be_empty = not required or self.empty_permitted
        self.forms[name] = form = form_class(model)(
            self.data if self.is_bound else None,
            prefix=self.add_prefix(name),
            initial=self.initial.get(name),
            empty_permitted=may_be_empty,
            use_required_attribute=not may_be_empty,
        )
        return form

    def _rows(self, name: str, model: type[pydantic.BaseModel], schema: Schema) -> Rows:
        given = [*(self.initial.get(name) or ())]
        most = schema.get("maxItems", MOST_ROWS)
        extra = 0 if given else min(FIRST_ROWS, most)
        made: Any = formset_factory(form_class(model), formset=Rows, extra=extra, max_num=most, absolute_max=most)
        rows: Rows = made(
            self.data if self.is_bound else None,
            prefix=self.add_prefix(name),
            initial=given,
            form_kwargs={"empty_permitted": True, "use_required_attribute": False},
        )
        rows.most = most
        self.rows[name] = rows
        return rows

    # ── For the template ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def parts(self) -> Iterator[Part]:
        for name in self.model.model_fields:
            if name in self.fields:
                yield Part(field=self[name])
            else:
                yield Part(form=self.forms.get(name), rows=self.rows.get(name))

    def listed_errors(self, before: str = "") -> Iterator[ListedError]:
        """All errors in the order of the fields, for the summary on top. `before` goes before the fields' names."""
        for text in self.non_field_errors():
            yield ListedError(before, "", str(text))
        for part in self.parts:
            if part.field is not None:
                for text in part.field.errors:
                    yield ListedError(f"{before}{part.field.label}", part.field.id_for_label, text)
            elif part.form is not None:
                yield from part.form.listed_errors(f"{before}{part.form.label}: ")
            elif part.rows is not None:
                for text in part.rows.non_form_errors():
                    yield ListedError(f"{before}{part.rows.label}", "", str(text))
                for number, form in enumerate(part.rows.forms, start=1):
                    yield from form.listed_errors(f"{before}{part.rows.label}, {number}: ")

    # ── Its result ───────────────────────────────────────────────────────────────────────────────────────────────

    def validated(self) -> pydantic.BaseModel | None:
        """The model; None if something is wrong, which the form then says beside each field."""
        if not self.is_valid():
            return None
        try:
            return self.model.model_validate(self.given())
        except pydantic.ValidationError as error:
            for one in error.errors(include_url=False, include_input=False):
                self.report(one["loc"], text_of(one))
            return None

    def is_valid(self) -> bool:
        """Whether the fields are valid, those of nested models too."""
        if self.empty_permitted and not self.has_changed():
            return super().is_valid()
        # A list, so that every form is validated and shows its errors.
        return all([super().is_valid(), *(each.is_valid() for each in self._inner())])

    def has_changed(self) -> bool:
        """Whether anything is filled in that was not there when the form was opened."""
        return super().has_changed() or any(each.has_changed() for each in self._inner())

    def _inner(self) -> list[InputForm | Rows]:
        return [*self.forms.values(), *self.rows.values()]

    def given(self) -> dict[str, Any]:
        """Return the filled-in fields, as the model takes them, without empty ones: the model knows its defaults."""
        fields = {name: value for name, value in self.cleaned_data.items() if value not in (None, "", [])}
        forms_ = {
            name: form.given() for name, form in self.forms.items() if form.has_changed() or not form.empty_permitted
        }
        rows = {name: [form.given() for form in rows.filled] for name, rows in self.rows.items()}
        return fields | forms_ | rows

    def report(self, location: Sequence[int | str], text: str) -> None:
        """Show one of pydantic's errors beside its field."""
        name, rest = (str(location[0]), location[1:]) if location else ("", ())
        if name in self.forms:
            self.forms[name].report(rest, text)
        elif name in self.rows and rest:
            self.rows[name].filled[int(rest[0])].report(rest[1:], text)
        elif name in self.rows:
            self.rows[name].non_form_errors().append(text)
        elif name in self.fields:
            line = gettext("Line %(number)s: ") % {"number": int(rest[0]) + 1} if rest and _is_number(rest[0]) else ""
            self.add_error(name, line + text)
        else:
            self.add_error(None, f"{name}: {text}" if name else text)

    def with_more_rows(self, prefix: str) -> InputForm:
        """The same form as it was typed, not validated, with more empty rows in the list of this prefix."""
        return type(self)(initial=self.typed(prefix), prefix=self.prefix)

    def typed(self, growing: str = "") -> dict[str, Any]:
        """The values as they were typed, fit for `initial`; with more empty rows under the prefix `growing`."""
        values: dict[str, Any] = {name: self[name].data for name in self.fields}
        for name, form in self.forms.items():
            values[name] = form.typed(growing)
        for name, rows in self.rows.items():
            typed = [form.typed(growing) for form in rows.forms] if rows.management_form.is_valid() else []
            more = MORE_ROWS if rows.prefix == growing else 0
            values[name] = [*typed, *({} for _ in range(min(more, rows.most - len(typed))))]
        return values


def form_class(model: type[pydantic.BaseModel]) -> type[InputForm]:
    """The form class of a model."""
    return _form_class(model)


@functools.cache
def _form_class(model: type[pydantic.BaseModel]) -> type[InputForm]:
    return type(f"{model.__name__}Form", (InputForm,), {"model": model})


@functools.cache
def _schemas(model: type[pydantic.BaseModel]) -> Mapping[str, Schema]:
    """The JSON Schema of each field. A form of 200 rows would make it 200 times."""
    whole = model.model_json_schema()
    return {name: _resolved(schema, whole.get("$defs", {})) for name, schema in whole["properties"].items()}


def _resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """The schema without `$ref`, and without the `null` of an optional field."""
    if "$ref" in schema:
        return {**definitions[schema["$ref"].rpartition("/")[2]], **schema}
    kinds = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    return {**schema, **_resolved(kinds[0], definitions)} if len(kinds) == 1 else schema


def _nested(annotation: Any) -> tuple[type[pydantic.BaseModel] | None, bool]:
    """The model in an annotation, and whether it is that of a list; None without one, or with a choice of several."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation, False
    parts = [part for part in get_args(annotation) if part is not NoneType]
    inner, is_list = _nested(parts[0]) if len(parts) == 1 else (None, False)
    if getattr(annotation, "__origin__", None) is list:
        return (None, False) if is_list else (inner, inner is not None)
    return inner, is_list


def _is_number(part: int | str) -> bool:
    return isinstance(part, int) or part.isdigit()
