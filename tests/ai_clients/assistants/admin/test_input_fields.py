"""The form field of each kind of a model's field."""

from __future__ import annotations

import enum
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from django import forms
from django.db import models
from django.utils.translation import override
from pydantic import BaseModel, Field

from ai_clients.assistants.admin.input_fields import LinesField, values_of
from ai_clients.assistants.admin.input_form import form_class
from ai_clients.assistants.runs.labels import Names


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(models.TextChoices):
    SMALL = "s", "the small one"


class Everything(BaseModel):
    short: Annotated[str, Field(min_length=2, max_length=300, title="Name", description="How it is called")]
    medium: Annotated[str, Field(max_length=1000)] = ""
    long: str = ""
    address: Annotated[str, Field(json_schema_extra={"format": "uri"})] = ""
    chosen: Annotated[Literal["a_b", "c"], Names({"c": "the third"})]
    chosen_already: Literal["a", "b"] = "b"
    colour: Colour = Colour.BLUE
    size: Size | None = None
    whole: Annotated[int, Field(ge=1, le=20)] = 10
    part: Annotated[float | None, Field(ge=0, le=1)] = None
    yes: bool = True
    day: date | None = None
    lines: Annotated[list[str], Field(max_length=3)] = []
    anything: dict[str, int] = {}
    either: int | str | None = None


@pytest.fixture
def form() -> Any:
    with override("en"):
        yield form_class(Everything)()


@pytest.mark.parametrize(
    ("name", "kind", "widget"),
    [
        ("short", forms.CharField, forms.TextInput),
        ("medium", forms.CharField, forms.Textarea),
        ("long", forms.CharField, forms.Textarea),
        ("address", forms.CharField, forms.TextInput),
        ("chosen", forms.TypedChoiceField, forms.Select),
        ("colour", forms.TypedChoiceField, forms.Select),
        ("size", forms.TypedChoiceField, forms.Select),
        ("whole", forms.IntegerField, forms.NumberInput),
        ("part", forms.FloatField, forms.NumberInput),
        ("yes", forms.BooleanField, forms.CheckboxInput),
        ("day", forms.DateField, forms.DateInput),
        ("lines", LinesField, forms.Textarea),
        ("anything", forms.JSONField, forms.Textarea),
        ("either", forms.JSONField, forms.Textarea),
    ],
)
def test_each_kind_has_its_field(form: Any, name: str, kind: Any, widget: Any) -> None:
    field = form.fields[name]
    assert isinstance(field, kind)
    assert isinstance(field.widget, widget)


def test_bounds_and_texts_reach_the_browser(form: Any) -> None:
    short, whole = form["short"], form["whole"]
    assert (short.label, short.help_text, short.field.required) == ("Name", "How it is called", True)
    assert 'maxlength="300"' in str(short)
    assert 'minlength="2"' in str(short)
    assert (whole.label, whole.help_text, whole.field.required) == ("Whole", "From 1 to 20.", False)
    assert 'min="1"' in str(whole)
    assert 'max="20"' in str(whole)
    assert 'value="10"' in str(whole)
    assert 'type="date"' in str(form["day"])
    assert form["lines"].help_text == "One per line. At most 3 lines."
    assert form["anything"].help_text == "Write it as JSON: {…} for an object, […] for a list."


def test_choices_have_names_and_a_blank_one_where_nothing_is_chosen(form: Any) -> None:
    assert form.fields["chosen"].choices == [("", "—"), ("a_b", "A b"), ("c", "The third")]
    assert form.fields["chosen_already"].choices == [("a", "A"), ("b", "B")]
    assert form["chosen_already"].initial == "b"
    assert (form["colour"].initial, form.fields["colour"].choices[0][0]) == ("blue", "red")
    assert form.fields["size"].choices == [("", "—"), ("s", "The small one")]


def test_values_of_an_annotation() -> None:
    assert values_of(Literal["a", "b"] | None) == ["a", "b"]
    assert values_of(Colour) == [Colour.RED, Colour.BLUE]
    assert values_of(int) == []


def test_what_is_typed_becomes_the_model() -> None:
    typed = {
        "short": " Имя ", "chosen": "c", "chosen_already": "a", "colour": "red", "size": "s", "whole": "3",
        "part": "0.5", "day": "2026-11-18", "lines": "один\r\n\r\n  два ", "anything": '{"a": 1}', "either": "7",
    }  # fmt: skip
    assert form_class(Everything)(typed).validated() == Everything(
        short="Имя", chosen="c", chosen_already="a", colour=Colour.RED, size=Size.SMALL, whole=3, part=0.5, yes=False,
        day=date(2026, 11, 18), lines=["один", "два"], anything={"a": 1}, either=7,
    )  # fmt: skip


def test_fields_left_empty_take_the_model_s_defaults() -> None:
    made = form_class(Everything)({"short": "Имя", "chosen": "c", "yes": "on", "chosen_already": "b", "colour": "blue"})
    assert made.validated() == Everything(short="Имя", chosen="c")


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("short", "", "This field is required."),
        ("short", "x", "Ensure this value has at least 2 characters (it has 1)."),
        ("chosen", "d", "Select a valid choice. d is not one of the available choices."),
        ("whole", "21", "Ensure this value is less than or equal to 20."),
        ("whole", "x", "Enter a whole number."),
        ("day", "yesterday", "Enter a valid date."),
        ("lines", "1\n2\n3\n4", "Too many: the greatest number of entries is 3."),
        ("anything", "{", "Enter a valid JSON."),
        ("anything", '{"a": "x"}', "Give a whole number."),
    ],
)
def test_errors_stand_beside_the_field(name: str, typed: str, said: str) -> None:
    with override("en"):
        form = form_class(Everything)(
            {"short": "Имя", "chosen": "c", "colour": "red", "chosen_already": "b", name: typed}
        )
        assert form.validated() is None
        (listed,) = form.listed_errors()
        assert form.errors[name] == [listed.text]
    assert said in listed.text
    assert listed.id == f"id_{name}"
