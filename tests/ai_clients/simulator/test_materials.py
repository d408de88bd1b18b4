"""The material of a prompt: language, text, items, placeholders."""

import json
from typing import Any

import pytest

from ai_clients.simulator import materials
from ai_clients.simulator.materials import Material
from ai_clients.simulator.prompts import Piece, Prompt


def prompt(question: str, instructions: str = "") -> Prompt:
    pieces = tuple(Piece(1, text) for text in (instructions, question) if text)
    return Prompt(pieces=pieces, question=question)


def read(values: Any, instructions: str = "") -> Material:
    question = f"<material>\n{json.dumps(values, ensure_ascii=False)}\n</material>"
    return materials.read(prompt(question, instructions), seed=1)


def test_json_between_marks_is_the_material() -> None:
    found = read({"text": "Первое. Второе: 12 %.", "title": "Два"})
    assert (found.text, found.language) == ("Первое. Второе: 12 %.", "ru")
    assert found.values["title"] == "Два"
    assert (found.sentences, found.facts) == (["Первое.", "Второе: 12 %."], ["Второе: 12 %."])


def test_any_other_prompt_is_its_own_material() -> None:
    found = materials.read(prompt("Write a review of {this} book."), seed=1)
    assert (found.text, found.language, dict(found.values)) == ("Write a review of {this} book.", "en", {})


@pytest.mark.parametrize(
    ("values", "instructions", "language"),
    [
        ({"comment": "Does it hurt?", "text": "О пользе зарядки"}, "На языке комментария.", "en"),
        ({"comment": "Не вредно?"}, "", "ru"),
        ({"organisation": "Atlas", "by_person": [{"name": "Анна"}]}, "Пиши по-английски.", "en"),
        ({"posts": [{"text": "Good."}]}, "Пиши по-русски, без общих слов.", "ru"),
        ({"organisation": "Ромашка"}, "", "ru"),
    ],
)
def test_language_is_that_of_the_instructions_or_of_the_text(
    values: dict[str, Any], instructions: str, language: str
) -> None:
    assert read(values, instructions).language == language


def test_related_items_come_first_and_are_the_ones_that_are_numbered() -> None:
    texts = [{"number": 1, "text": "О погоде."}, {"number": 2, "text": "Опять перенос даты."}]
    found = read({"question": "Что говорят о переносе?", "texts": texts})
    assert found.numbers() == [2]
    assert found.filled("{related.0.text}", ordinal=0) == "Опять перенос даты."
    assert read({"question": "Что с ценами?", "texts": texts}).numbers() == [1, 2]


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{title}: {fact}", "Счёт: Второе: 12."),
        ("{rows.1.name}", "b"),
        ("{rows.2.name}", None),
        ("{rows.0.other}", None),
        ("{absent}", None),
        ("{found} {topic}", "нашлось первое"),
        ("no placeholder", "no placeholder"),
    ],
)
def test_a_template_is_filled_or_not_usable(template: str, filled: str | None) -> None:
    found = read({"text": "Первое. Второе: 12.", "title": "Счёт", "rows": [{"name": "a"}, {"name": "b"}]})
    assert found.filled(template, ordinal=0, found="нашлось") == filled


def test_an_excerpt_has_whole_sentences_and_ends_in_time() -> None:
    excerpt = read({"text": "Раз два три. " * 100}).filled("{excerpt}", ordinal=0)
    assert excerpt is not None
    assert excerpt.endswith("три.")
    assert 500 < len(excerpt) <= materials.EXCERPT
