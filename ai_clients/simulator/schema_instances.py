"""Makes a small JSON value valid for a JSON schema, always the same, for structured output and tool calls."""

import re
from typing import Any

from ai_clients.simulator.answers import JsonObject

_DEEPEST = 5
_FORMATS = {
    "date-time": "2026-01-15T09:30:00Z",
    "date": "2026-01-15",
    "time": "09:30:00Z",
    "duration": "PT1H30M",
    "email": "sample@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "uuid": "6f1c2a6e-9a55-4a7d-8f52-3a1f0f6f2b11",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
_LIMIT_WORDS = "minimum|maximum|exclusiveMinimum|exclusiveMaximum|minItems|maxItems|minLength|maxLength|multipleOf"


def instance(schema: JsonObject) -> Any:
    """A value that satisfies `schema`; references are looked up inside the schema itself."""
    return _value(schema, root=schema, name="value", depth=0, ordinal=0)


def _value(schema: Any, *, root: JsonObject, name: str, depth: int, ordinal: int) -> Any:
    """`name` flavours strings; `ordinal`, the place in an array, keeps items of one array different."""
    if not isinstance(schema, dict):
        return name
    schema = _limits_from_description(_resolve(schema, root))
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][ordinal % len(schema["enum"])]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            variant = _choose(schema[key], depth)
            return _value(variant, root=root, name=name, depth=depth + 1, ordinal=ordinal)
    match _type(schema):
        case "object":
            return _object(schema, root=root, depth=depth)
        case "array":
            return _array(schema, root=root, name=name, depth=depth)
        case "integer":
            return int(_number(schema, ordinal, default=1, step=1))
        case "number":
            return _number(schema, ordinal, default=1.5, step=0.5)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema, name, ordinal)


def _resolve(schema: JsonObject, root: JsonObject) -> JsonObject:
    """Follow `$ref` and fold `allOf` in, so that the rest sees one flat schema."""
    for _ in range(_DEEPEST):
        if isinstance(schema.get("$ref"), str):
            target: Any = root
            for key in schema["$ref"].lstrip("#/").split("/"):
                target = target.get(key.replace("~1", "/").replace("~0", "~"), {}) if key else target
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        elif isinstance(schema.get("allOf"), list):
            folded = {key: value for key, value in schema.items() if key != "allOf"}
            for part in schema["allOf"]:
                folded = {**_resolve(part, root), **folded}
            schema = folded
    return schema


def _limits_from_description(schema: JsonObject) -> JsonObject:
    """Anthropic's SDK moves limits it may not send to the description: "A mark {minimum: 1, maximum: 5}"."""
    description = schema.get("description")
    if not isinstance(description, str) or not description.endswith("}"):
        return schema
    limits = re.findall(rf"\b({_LIMIT_WORDS}): (-?\d+(?:\.\d+)?)", description[description.rfind("{") :])
    return {**{word: float(number) if "." in number else int(number) for word, number in limits}, **schema}


def _type(schema: JsonObject) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _choose(variants: list[Any], depth: int) -> Any:
    nothing = {"type": "null"}
    if depth < _DEEPEST:
        return next((variant for variant in variants if variant != nothing), nothing)
    # Deep inside a recursive schema: stop if that is allowed, else try another variant at each level.
    return nothing if nothing in variants else variants[depth % len(variants)]


def _object(schema: JsonObject, *, root: JsonObject, depth: int) -> JsonObject:
    properties = schema.get("properties") or {}
    wanted = properties if depth < _DEEPEST else schema.get("required", ())
    return {name: _value(properties.get(name, {}), root=root, name=name, depth=depth + 1, ordinal=0) for name in wanted}


def _array(schema: JsonObject, *, root: JsonObject, name: str, depth: int) -> list[Any]:
    prefix = schema.get("prefixItems") or []
    least = int(schema.get("minItems", 0))
    length = max(least, len(prefix)) or (1 if depth < _DEEPEST else 0)
    length = min(length, int(schema.get("maxItems", length)))
    items = schema.get("items", {})
    return [
        _value(
            prefix[place] if place < len(prefix) else items,
            root=root,
            name=name,
            depth=depth + 1,
            ordinal=place,
        )
        for place in range(length)
    ]


def _number(schema: JsonObject, ordinal: int, *, default: float, step: float) -> float:
    multiple = schema.get("multipleOf")
    step = multiple or step
    least = schema.get("minimum")
    if least is None and "exclusiveMinimum" in schema:
        least = schema["exclusiveMinimum"] + step
    most = schema.get("maximum")
    if most is None and "exclusiveMaximum" in schema:
        most = schema["exclusiveMaximum"] - step
    number: float = default if least is None else max(default, least)
    if most is not None and number > most:
        number = most
    if multiple:
        number = -(-number // multiple) * multiple
    following: float = number + ordinal * step
    return number if most is not None and following > most else following


def _string(schema: JsonObject, name: str, ordinal: int) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    text = f"sample {name.replace('_', ' ')}" + (f" {ordinal + 1}" if ordinal else "")
    text = text.ljust(int(schema.get("minLength", 0)), ".")
    return text[: int(schema.get("maxLength", len(text)))]
