"""Each field of an output is shown, with its label and in the reader's language."""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from html import unescape
from typing import Annotated, Any, get_args

import pytest
from django.template.loader import render_to_string
from django.utils.translation import override
from pydantic import BaseModel

from ai_clients.assistants.admin.input_fields import values_of
from ai_clients.assistants.admin.output_view import Card, card
from ai_clients.assistants.agents import agents
from ai_clients.assistants.runs.labels import Heading, Names, RowsOf, label, value_name
from tests.support.agent_forms import INPUTS


def filled(model: type[BaseModel], numbers: Iterator[int]) -> tuple[BaseModel, list[str]]:
    """An output with another value in each field, and the texts that people have to see of it."""
    values: dict[str, Any] = {}
    texts: list[str] = []
    for name, info in model.model_fields.items():
        inner = next((part for part in get_args(info.annotation) if isinstance(part, type)), None)
        if values_of(info.annotation):
            values[name] = values_of(info.annotation)[-1]
            texts.append(value_name(info, values[name]))
        elif info.annotation is bool:
            values[name] = True
            texts.append(value_name(info, True))
        elif inner is not None and issubclass(inner, BaseModel):
            made = [filled(inner, numbers) for _ in range(2)]
            values[name] = [one for one, _ in made]
            texts += [text for _, shown in made for text in shown]
        elif inner is int:
            values[name] = [1]
            texts.append("1. ")
        elif inner is str:
            values[name] = [f"line {next(numbers)}", f"line {next(numbers)}"]
            texts += values[name]
        elif info.annotation is int:
            values[name] = next(numbers)
            texts.append(str(values[name]))
        else:
            values[name] = f"text {next(numbers)}"
            texts.append(values[name])
    return model.model_validate(values), texts


def shown(page: Card) -> str:
    return unescape(render_to_string("ai_assistants/card.html", {"card": page}))


def labels(model: type[BaseModel]) -> list[str]:
    return [label(name, info) for name, info in model.model_fields.items() if not any(
        isinstance(mark, Heading) for mark in info.metadata)]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("agent_id", sorted(agents()))
def test_output_of_each_agent_shows_all_of_its_fields(agent_id: str, language: str) -> None:
    agent = agents()[agent_id]
    with override(language):
        made, texts = filled(agent.output, itertools.count(301))
        html = shown(card(made, agent.input.model_validate(INPUTS[agent_id])))
        assert len(texts) >= 3
        assert [text for text in texts if text not in html] == []
        assert [name for name in labels(agent.output) if name not in html] == []
    assert "{" not in html


def test_values_have_names_and_colours() -> None:
    output = agents()["legal_guard"].output
    made = output.model_validate({"is_advertising": True, "verdict": "fix_first", "findings": [], "summary": ""})
    with override("en"):
        html = shown(card(made))
    assert '<span class="ai-badge bad">fix it before it is published</span>' in html
    assert '<span class="ai-badge warning">advertising</span>' in html
    assert re.findall(r"<dt>(.*?)</dt>\s*<dd>\s*—", html) == ["Findings", "Summary"]


def test_numbers_of_rows_are_shown_with_what_stands_there() -> None:
    agent = agents()["research_factcheck"]
    claim = {
        "claim": "c",
        "quote": "q",
        "verdict": "supported",
        "explanation": "e",
        "sources": [2, 7],
        "correction": "",
    }
    made = agent.output.model_validate({"claims": [claim]})
    lines = [one.value for one in card(made, agent.input.model_validate(INPUTS[agent.id])).fields[0].value[0].fields]
    assert ["2. Справка", "7"] in lines


class Colour(enum.Enum):
    RED = "red"


class Inner(BaseModel):
    name: str


class Others(BaseModel):
    yes: bool
    share: float
    money: Decimal
    count: int
    day: date
    nothing: str | None
    inner: Inner
    facts: dict[str, int]
    colours: list[Colour]
    unknown: Annotated[str, Names({"other": "Other"})]
    rows: Annotated[list[int], RowsOf("absent")]


def test_every_kind_of_value_is_a_text_of_the_reader_s_language() -> None:
    made = Others(
        yes=False, share=0.25, money=Decimal("1234.5"), count=12345, day=date(2026, 11, 18), nothing=None,
        inner=Inner(name="inside"), facts={"a": 1}, colours=[Colour.RED], unknown="new_value", rows=[3],
    )  # fmt: skip
    with override("en"):
        page = card(made)
        texts = {one.label: (one.kind, one.value) for one in [*page.badges, *page.fields]}
    assert texts["Yes"] == ("badge", "no")
    assert texts["Unknown"] == ("badge", "new value")
    assert (texts["Share"][1], texts["Money"][1], texts["Count"][1]) == ("0.25", "1,234.5", "12,345")
    assert texts["Day"][1] == "18 Nov 2026"
    assert (texts["Nothing"][1], texts["Facts"][1]) == ("", "a: 1")
    assert (texts["Colours"], texts["Rows"]) == (("lines", ["red"]), ("lines", ["3"]))
    assert texts["Inner"][1].fields[0].value == "inside"


def test_texts_of_a_model_are_not_markup() -> None:
    html = render_to_string("ai_assistants/card.html", {"card": card(Inner(name="<img src=x>\n\nsecond"))})
    assert "<img" not in html
    assert html.count("<p>") == 2
