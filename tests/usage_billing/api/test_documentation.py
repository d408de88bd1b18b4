"""Every operation, parameter and property of the schema has texts, and every body an example that fits its schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

BINARY = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
"""A workbook has no example: JSON holds no bytes."""

Place = tuple[str, Any]


@pytest.fixture(scope="module")
def schema() -> Any:
    return Client().get("/api/schema", secure=True).json()


def operations(schema: Any) -> list[Place]:
    return [(operation["operationId"], operation) for each in schema["paths"].values() for operation in each.values()]


def media(schema: Any) -> Iterator[Place]:
    """Every body, sent and answered, with the name of its place."""
    for name, operation in operations(schema):
        for kind, body in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{name} sent {kind}", body
        for status, response in operation["responses"].items():
            for kind, body in response.get("content", {}).items():
                yield f"{name} {status} {kind}", body


def properties(place: str, schema: Any) -> Iterator[Place]:
    """Every property of a schema and of the schemas inside it."""
    if isinstance(schema, list):
        for number, each in enumerate(schema):
            yield from properties(f"{place}[{number}]", each)
    elif isinstance(schema, dict):
        for name, each in schema.get("properties", {}).items():
            yield f"{place}.{name}", each
            yield from properties(f"{place}.{name}", each)
        for key in ("items", "allOf", "oneOf", "anyOf"):
            yield from properties(place, schema.get(key))


def is_text(text: Any) -> bool:
    """Whether it is a sentence of English."""
    return isinstance(text, str) and len(text) > 5 and text[0].isupper() and not re.search("[а-яё]", text, re.I)


def test_every_operation_has_a_summary_and_a_description(schema: Any) -> None:
    without = [name for name, each in operations(schema) if not is_text(each.get("summary"))]
    assert without == []
    assert [name for name, each in operations(schema) if len(each["summary"]) > 70 or each["summary"][-1] == "."] == []
    responses = [
        (f"{name} {status}", response)
        for name, operation in operations(schema)
        for status, response in operation["responses"].items()
    ]
    assert [name for name, each in responses if not is_text(each["description"])] == []
    short = [name for name, each in operations(schema) if len(each.get("description", "")) < 80]
    assert short == []


def test_every_operation_has_one_tag_and_every_tag_is_described(schema: Any) -> None:
    tags = {tag["name"]: tag["description"] for tag in schema["tags"]}
    assert [name for name, text in tags.items() if not is_text(text)] == []
    assert {tag for _, each in operations(schema) for tag in each["tags"]} == set(tags)
    assert [name for name, each in operations(schema) if len(each["tags"]) != 1] == []


def test_every_parameter_is_described(schema: Any) -> None:
    parameters = [(name, each) for name, operation in operations(schema) for each in operation.get("parameters", [])]
    assert len(parameters) > 100
    assert [f"{name} {each['name']}" for name, each in parameters if not is_text(each.get("description"))] == []


def test_every_property_is_described(schema: Any) -> None:
    components = schema["components"]["schemas"].items()
    found = [place for name, component in components for place in properties(name, component)]
    found += [place for name, body in media(schema) for place in properties(name, body.get("schema"))]
    assert len(found) > 300
    assert [name for name, each in found if not is_text(each.get("description"))] == []


def test_every_component_is_described(schema: Any) -> None:
    components = schema["components"]["schemas"].items()
    enums = {name for name, component in components if "enum" in component}
    assert [name for name, each in components if name not in enums and not is_text(each.get("description"))] == []
    schemes = schema["components"]["securitySchemes"].items()
    assert [name for name, each in schemes if not is_text(each.get("description"))] == []


def test_every_body_has_an_example(schema: Any) -> None:
    found = list(media(schema))
    assert len(found) > 100
    assert [name for name, body in found if not body.get("examples") and BINARY not in name] == []


def test_every_example_fits_its_schema(schema: Any) -> None:
    registry = Registry().with_resource("urn:api", Resource.from_contents(schema, default_specification=DRAFT202012))
    problems = []
    for name, body in media(schema):
        whole = json.loads(json.dumps(body.get("schema", {})).replace('"#/components', '"urn:api#/components'))
        validator = Draft202012Validator(whole, registry=registry, format_checker=FormatChecker())
        for example in body.get("examples", {}).values():
            problems += [
                f"{name} {error.json_path}: {error.message}" for error in validator.iter_errors(example["value"])
            ]
    assert problems == []


def test_error_examples_name_a_parameter_or_a_field_of_their_operation(schema: Any) -> None:
    strange = []
    for name, operation in operations(schema):
        known = {parameter["name"] for parameter in operation.get("parameters", [])}
        for body in operation.get("requestBody", {}).get("content", {}).values():
            component = body["schema"]["$ref"].rpartition("/")[2]
            known |= set(schema["components"]["schemas"][component]["properties"])
        examples = operation["responses"].get("400", {"content": {}})["content"].values()
        for example in (example for each in examples for example in each["examples"].values()):
            details = example["value"]["error"]["details"]
            strange += [f"{name}: {key}" for key in details if key not in known]
            if not details:
                strange.append(f"{name}: nothing")
    assert strange == []
