"""The errors of an input, in words for people."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

import pytest
from django.utils import translation
from pydantic import Field, ValidationError

from ai_clients.assistants.runs.agent import Input
from ai_clients.assistants.runs.input_errors import _TEXTS, by_field


class Part(Input):
    text: Annotated[str, Field(min_length=2, max_length=5)]


class Form(Input):
    part: Part = Part(text="ok")
    parts: Annotated[list[Part], Field(min_length=1, max_length=2)] = []
    number: Annotated[int, Field(ge=1, le=9)] = 1
    kind: Literal["a", "b"] = "a"
    day: date | None = None
    flag: bool = True
    amount: Annotated[float, Field(multiple_of=2)] = 2


@pytest.mark.parametrize(
    ("given", "field", "text"),
    [
        ({"part": {}}, "part.text", "This field is required."),
        ({"part": {"text": None}}, "part.text", "Give a text."),
        ({"part": {"text": "\ud800"}}, "part.text", "Give a text of valid Unicode characters."),
        ({"part": {"text": "a"}}, "part.text", "Too short: the least number of characters is 2."),
        ({"part": {"text": "a" * 6}}, "part.text", "Too long: the greatest number of characters is 5."),
        ({"part": 1}, "part", "Give an object."),
        ({"parts": {}}, "parts", "Give a list."),
        ({"parts": []}, "parts", "Too few: the least number of entries is 1."),
        ({"parts": [{"text": "ok"}] * 3}, "parts", "Too many: the greatest number of entries is 2."),
        ({"parts": [{"text": "ok", "x": 1}]}, "parts.0.x", "There is no such field."),
        ({"number": "x"}, "number", "Give a whole number."),
        ({"number": 1.5}, "number", "Give a whole number."),
        ({"number": []}, "number", "Give a whole number."),
        ({"number": 0}, "number", "The least value is 1."),
        ({"number": 10}, "number", "The greatest value is 9."),
        ({"kind": "c"}, "kind", "Give one of these: 'a', 'b'."),
        ({"day": "yesterday"}, "day", "Give a date such as 2026-11-18."),
        ({"day": "2026-13-18"}, "day", "Give a date such as 2026-11-18."),
        ({"day": "2026-11-18T10:00:00"}, "day", "Give a date such as 2026-11-18."),
        ({"day": []}, "day", "Give a date such as 2026-11-18."),
        ({"flag": "maybe"}, "flag", "Give true or false."),
        ({"flag": []}, "flag", "Give true or false."),
        # pydantic's own words for what is not translated
        ({"amount": 3}, "amount", "Input should be a multiple of 2"),
    ],
)
def test_each_error_names_its_field(given: dict[str, Any], field: str, text: str) -> None:
    with translation.override("en"), pytest.raises(ValidationError) as caught:
        Form.model_validate(given)
    with translation.override("en"):
        assert by_field(caught.value) == {field: [text]}
        assert by_field(caught.value, under="input") == {f"input.{field}": [text]}


def test_every_text_can_be_filled_in() -> None:
    """A name that the error does not give would be an error of its own, in Russian too."""
    given = {"min_length": 1, "max_length": 2, "expected": "x", "ge": 3, "le": 4}
    for language in ("en", "ru"):
        with translation.override(language):
            for text in _TEXTS.values():
                assert "%(" not in str(text) % given


def test_what_was_given_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        Form.model_validate({"kind": "Zpetn3-otisk", "number": "Zpetn3-otisk"})
    assert "Zpetn3-otisk" not in str(by_field(caught.value))
