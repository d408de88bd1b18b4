"""Instances checked by the models that the schemas came from."""

from typing import Annotated, Any

import pytest
from anthropic import transform_schema
from pydantic import BaseModel, Field, TypeAdapter

from ai_clients.simulator.schema_instances import instance
from tests.support.answer_schemas import Review


class Node(BaseModel):
    name: str
    parent: "Node | None"
    children: list["Node"]


def test_instance_satisfies_its_model() -> None:
    Review.model_validate(instance(Review.model_json_schema()))


def test_instance_of_a_recursive_schema_ends() -> None:
    Node.model_validate(instance(Node.model_json_schema()))


def test_instance_repeats() -> None:
    assert instance(Review.model_json_schema()) == instance(Review.model_json_schema())


def test_instance_heeds_limits_moved_into_descriptions() -> None:
    schema = transform_schema(Review)
    assert "minimum: 18" in schema["$defs"]["Author"]["properties"]["age"]["description"]
    Review.model_validate(instance(schema))


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[int, Field(ge=7, le=9)],
        Annotated[int, Field(gt=7)],
        Annotated[int, Field(lt=-7)],
        Annotated[int, Field(ge=10, multiple_of=4)],
        Annotated[str, Field(min_length=30)],
        Annotated[str, Field(max_length=3)],
        Annotated[set[str], Field(min_length=3)],
        Annotated[list[int], Field(max_length=0)],
        tuple[int, str, bool],
        dict[str, int],
        int | str,
        str | None,
        None,
    ],
)
def test_instance_satisfies_its_annotation(annotation: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    adapter.validate_python(instance(adapter.json_schema()))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": 3}, 3),
        ({"enum": ["b", "a"]}, "b"),
        ({"type": ["null", "integer"]}, 1),
        ({"allOf": [{"$ref": "#/$defs/Text"}], "$defs": {"Text": {"type": "boolean"}}}, True),
        ({"properties": {"at": {"format": "date"}}}, {"at": "2026-01-15"}),
        ({}, "Value 1"),
    ],
)
def test_instance_of_bare_schemas(schema: dict[str, Any], expected: object) -> None:
    assert instance(schema) == expected
