"""Forms of whole models: nested ones, lists of them, and the inputs of the agents."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from django.utils.translation import override
from pydantic import BaseModel, Field

from ai_clients.assistants.admin.input_form import FIRST_ROWS, MORE_ROWS, form_class
from ai_clients.assistants.agents import agents
from tests.support.agent_forms import INPUTS, sent


class Leaf(BaseModel):
    name: str
    number: int | None = None


class Branch(BaseModel):
    leaves: list[Leaf] = []
    best: Leaf | None = None


class Tree(BaseModel):
    trunk: Leaf
    branches: Annotated[list[Branch], Field(max_length=4)] = []
    spare: Leaf | None = None


TREE = {
    "trunk": {"name": "oak", "number": 3},
    "branches": [
        {"leaves": [{"name": "a", "number": 1}, {"name": "b", "number": 2}], "best": {"name": "a", "number": 1}},
        {"leaves": [{"name": "c"}]},
    ],
}


@pytest.mark.parametrize("agent_id", sorted(agents()))
def test_input_of_each_agent_goes_through_its_form_unchanged(agent_id: str) -> None:
    model, given = agents()[agent_id].input, INPUTS[agent_id]
    assert set(given) == set(model.model_fields)
    form = form_class(model)(sent(given), prefix="input")
    assert (form.validated(), list(form.listed_errors())) == (model.model_validate(given), [])


@pytest.mark.parametrize("agent_id", sorted(agents()))
def test_form_of_each_agent_is_opened_with_what_is_known(agent_id: str) -> None:
    """What the browser would send back from the form as it was opened is the same input."""
    model, given = agents()[agent_id].input, INPUTS[agent_id]
    opened = form_class(model)(initial=given, prefix="input")
    typed = {name: opened[name].value() for name in opened.fields}
    assert {name: typed[name] for name in typed} == {
        name: "\n".join(given[name]) if isinstance(given[name], list) else given[name] for name in typed
    }
    assert {name: len(rows.forms) for name, rows in opened.rows.items()} == {
        name: len(given[name]) for name in opened.rows
    }


@pytest.mark.parametrize("agent_id", sorted(agents()))
def test_every_field_of_each_agent_has_a_name_and_nothing_is_json(agent_id: str) -> None:
    def fields(form: Any) -> Any:
        for part in form.parts:
            yield from [part.field] if part.field else fields(part.form or part.rows.forms[0])

    found = list(fields(form_class(agents()[agent_id].input)()))
    assert found
    assert [field.name for field in found if type(field.field).__name__ == "BoundedJSONField"] == []
    assert [field.name for field in found if not field.label[0].isupper()] == []


def test_models_nest() -> None:
    assert form_class(Tree)(sent(TREE), prefix="input").validated() == Tree.model_validate(TREE)


def test_rows_left_empty_do_not_count_and_wrong_ones_say_so() -> None:
    counts = [f"leaves-{count}_FORMS" for count in ("TOTAL", "INITIAL")]
    empty = {f"input-branches-{number}-{count}": "0" for number in (0, 2) for count in counts}
    rows: list[dict[str, Any]] = [{}, {"leaves": [{"name": ""}, {"number": 5}]}, {}]
    with override("en"):
        form = form_class(Tree)(sent({"trunk": {"name": "oak"}, "branches": rows}) | empty, prefix="input")
        assert form.validated() is None
        (error,) = form.listed_errors()
    assert (error.label, error.text) == ("Branches, 2: Leaves, 2: Name", "This field is required.")
    assert error.id == "id_input-branches-1-leaves-1-name"


def test_optional_model_is_left_out_if_empty_and_whole_if_not() -> None:
    base = sent({"trunk": {"name": "oak"}}) | {"input-branches-TOTAL_FORMS": "0", "input-branches-INITIAL_FORMS": "0"}
    assert form_class(Tree)(base, prefix="input").validated() == Tree(trunk=Leaf(name="oak"))
    half = form_class(Tree)({**base, "input-spare-number": "4"}, prefix="input")
    assert half.validated() is None
    assert [error.id for error in half.listed_errors()] == ["id_input-spare-name"]


def test_too_few_rows_are_said_at_the_list() -> None:
    agent = agents()["trends_scout"]
    with override("en"):
        form = form_class(agent.input)(sent({"posts": [{"text": ""}]}), prefix="input")
        assert form.validated() is None
        assert form.rows["posts"].non_form_errors() == ["Too few: the least number of entries is 1."]
        assert [error.label for error in form.listed_errors()] == ["Posts"]


def test_button_adds_empty_rows_and_keeps_what_was_typed_without_errors() -> None:
    model = agents()["research_factcheck"].input
    assert len(form_class(model)(prefix="input").rows["sources"].forms) == FIRST_ROWS
    typed = {"text": "", "sources": [{"title": "Опрос", "text": ""}, {}], "most_claims": "много"}
    form = form_class(model)(sent(typed), prefix="input").with_more_rows("input-sources")
    rows = form.rows["sources"].forms
    assert (form.is_bound, len(rows)) == (False, 2 + MORE_ROWS)
    assert (rows[0]["title"].value(), form["most_claims"].value()) == ("Опрос", "много")
    assert form.with_more_rows("another").rows["sources"].total_form_count() == FIRST_ROWS


def test_button_adds_no_more_rows_than_the_model_takes() -> None:
    form = form_class(Tree)(sent({"trunk": {}, "branches": [{}, {}, {}]}), prefix="input")
    assert len(form.with_more_rows("input-branches").rows["branches"].forms) == 4


@pytest.mark.parametrize("count", ["", "x", "-1", "99999999999", "\0"])
def test_a_forged_number_of_rows_is_an_error(count: str) -> None:
    model = agents()["trends_scout"].input
    form = form_class(model)({"input-posts-TOTAL_FORMS": count, "input-posts-INITIAL_FORMS": "0"}, prefix="input")
    assert form.validated() is None
    assert list(form.listed_errors())
    assert form.with_more_rows("input-posts").rows["posts"].total_form_count() <= 203


def test_labels_are_in_the_reader_s_language() -> None:
    model = agents()["legal_guard"].input
    labels = {}
    for language in ("en", "ru"):
        with override(language):
            labels[language] = form_class(model)()["text"].label
    assert labels == {"en": "Text", "ru": "Текст"}
