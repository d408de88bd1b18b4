"""Reads JSON schemas: references and limits resolved, the type, and whether a value is valid."""

import re
from typing import Any

from ai_clients.simulator.answers import JsonObject

DEEPEST = 5
"""How deep a recursive schema is followed."""

_LIMIT_WORDS = "minimum|maximum|exclusiveMinimum|exclusiveMaximum|minItems|maxItems|minLength|maxLength|multipleOf"
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def flat(schema: JsonObject, root: JsonObject) -> JsonObject:
    """Follow `$ref`, fold `allOf` in and read limits from the description, so that the rest sees one flat schema."""
    for _ in range(DEEPEST):
        if isinstance(schema.get("$ref"), str):
            target: Any = root
            for key in schema["$ref"].lstrip("#/").split("/"):
                target = target.get(key.replace("~1", "/").replace("~0", "~"), {}) if key else target
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        elif isinstance(schema.get("allOf"), list):
            folded = {key: value for key, value in schema.items() if key != "allOf"}
            for part in schema["allOf"]:
                folded = {**flat(part, root), **folded}
            schema = folded
    return _limits_from_description(schema)


def _limits_from_description(schema: JsonObject) -> JsonObject:
    """Anthropic's SDK moves limits it may not send to the description: "A mark {minimum: 1, maximum: 5}"."""
    description = schema.get("description")
    if not isinstance(description, str) or not description.endswith("}"):
        return schema
    limits = re.findall(rf"\b({_LIMIT_WORDS}): (-?\d+(?:\.\d+)?)", description[description.rfind("{") :])
    return {**{word: float(number) if "." in number else int(number) for word, number in limits}, **schema}


def kind_of(schema: JsonObject) -> str:
    """The type of a flat schema; of several, the first but null."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def variant_of(schema: JsonObject, depth: int) -> Any:
    """The variant of `anyOf` or `oneOf` to make: the first but null. None if the schema has no variants."""
    variants = next((schema[key] for key in ("anyOf", "oneOf") if schema.get(key)), None)
    if variants is None:
        return None
    nothing = {"type": "null"}
    if depth < DEEPEST:
        return next((variant for variant in variants if variant != nothing), nothing)
    # Deep inside a recursive schema: stop if that is allowed, else try another variant at each level.
    return nothing if nothing in variants else variants[depth % len(variants)]


def is_valid(value: Any, schema: Any, root: JsonObject) -> bool:
    """Whether the value is valid, as far as examples need it: None, which no example has, never is."""
    if value is None or not isinstance(schema, dict):
        return False
    schema = flat(schema, root)
    variants = next((schema[key] for key in ("anyOf", "oneOf") if schema.get(key)), None)
    if variants is not None:
        return any(is_valid(value, variant, root) for variant in variants)
    if "const" in schema or "enum" in schema:
        return value in (schema.get("enum") or [schema.get("const")])
    types = _TYPES.get(kind_of(schema), ())
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        return False
    return _is_within(value, schema) and _has_valid_items(value, schema, root)


def _is_within(value: Any, schema: JsonObject) -> bool:
    """Whether the length, or the number itself, is within the limits."""
    size: int | float
    if isinstance(value, str):
        size, names = len(value), ("minLength", "maxLength")
    elif isinstance(value, list):
        size, names = len(value), ("minItems", "maxItems")
    elif isinstance(value, int | float):
        size, names = value, ("minimum", "maximum")
    else:
        return True
    return bool(schema.get(names[0], size) <= size <= schema.get(names[1], size))


def _has_valid_items(value: Any, schema: JsonObject, root: JsonObject) -> bool:
    return not isinstance(value, list) or all(is_valid(item, schema.get("items", {}), root) for item in value)
