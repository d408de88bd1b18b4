"""Reading of JSON schemas."""

from typing import Any

import pytest

from ai_clients.simulator.schemas import flat, is_valid, kind_of, variant_of

ROOT = {"$defs": {"Mood": {"enum": ["calm", "cheerful"]}}}


@pytest.mark.parametrize(
    ("value", "schema", "valid"),
    [
        ("text", {"type": "string"}, True),
        ("text", {"type": "string", "maxLength": 3}, False),
        ("text", {"type": "string", "minLength": 5}, False),
        (3, {"type": "integer", "maximum": 3}, True),
        (4, {"type": "integer", "maximum": 3}, False),
        (True, {"type": "integer"}, False),
        (True, {"type": "boolean"}, True),
        (1, {"type": "boolean"}, False),
        ("calm", {"$ref": "#/$defs/Mood"}, True),
        ("angry", {"$ref": "#/$defs/Mood"}, False),
        ("a", {"const": "a"}, True),
        ("b", {"const": "a"}, False),
        (["a", "b"], {"type": "array", "items": {"type": "string"}}, True),
        (["a", 1], {"type": "array", "items": {"type": "string"}}, False),
        (["a"], {"type": "array", "items": {"type": "string"}, "minItems": 2}, False),
        ("text", {"anyOf": [{"type": "null"}, {"type": "string"}]}, True),
        (1, {"anyOf": [{"type": "null"}, {"type": "string"}]}, False),
        (None, {"type": "null"}, False),
    ],
)
def test_is_valid(value: Any, schema: dict[str, Any], valid: bool) -> None:
    assert is_valid(value, schema, ROOT) is valid


def test_flat_folds_references_and_limits_in() -> None:
    assert flat({"allOf": [{"$ref": "#/$defs/Mood"}]}, ROOT) == {"enum": ["calm", "cheerful"]}
    assert flat({"type": "integer", "description": "A mark {minimum: 1, maximum: 5}"}, {})["maximum"] == 5


def test_kind_of_and_variant_of() -> None:
    schemas: list[dict[str, Any]] = [{"type": ["null", "integer"]}, {"properties": {}}, {"items": {}}, {}]
    assert [kind_of(schema) for schema in schemas] == [
        "integer", "object", "array", "string",
    ]  # fmt: skip
    optional = {"anyOf": [{"type": "null"}, {"type": "string"}]}
    assert (variant_of(optional, 0), variant_of(optional, 9)) == ({"type": "string"}, {"type": "null"})
    assert variant_of({"type": "string"}, 0) is None
