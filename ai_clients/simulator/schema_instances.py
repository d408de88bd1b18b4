"""Makes a small JSON value valid for a JSON schema, for structured output and tool calls.

The value fits the material: `examples` gives whole objects and words by the names of fields, and whatever they leave
open is made here. The same schema and material always give the same value.
"""

from typing import Any

from ai_clients.simulator import examples
from ai_clients.simulator.answers import JsonObject
from ai_clients.simulator.materials import NOTHING, Material
from ai_clients.simulator.schemas import DEEPEST, flat, is_valid, kind_of, variant_of
from ai_clients.simulator.sentences import topic

_FORMATS = {
    "date-time": "2026-01-15T09:30:00Z",
    "date": "2026-01-15",
    "time": "09:30:00Z",
    "duration": "PT1H30M",
    "email": "anna@example.org",
    "hostname": "example.org",
    "uri": "https://example.org/articles/1",
    "uuid": "6f1c2a6e-9a55-4a7d-8f52-3a1f0f6f2b11",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
_MOST_ITEMS = 3
"""Items of an array whose examples differ."""
_MOST_NUMBERS = 2
"""Numbers of the material's items that an answer names."""
_HIGH = 0.75
"""Where a number lies between its bounds: most scores are good ones."""


def instance(schema: JsonObject, material: Material = NOTHING) -> Any:
    """A value that satisfies `schema`; references are looked up inside the schema itself."""
    return _Maker(schema, material).value(schema, name="value", depth=0, ordinal=0)


def _described_like(schema: JsonObject, part: Any) -> Any:
    """The part (a variant, an item) with the description of the whole, unless it has its own."""
    if not isinstance(part, dict) or "description" not in schema:
        return part
    return {"description": schema["description"], **part}


class _Maker:
    """Makes the values of one schema for one material.

    `name` is the field that a value is for; `ordinal`, the place in an array, keeps items of one array different.
    """

    def __init__(self, root: JsonObject, material: Material) -> None:
        self._root = root
        self._material = material

    def value(self, schema: Any, *, name: str, depth: int, ordinal: int) -> Any:
        if not isinstance(schema, dict):
            return name
        schema = flat(schema, self._root)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][(self._material.seed + ordinal) % len(schema["enum"])]
        variant = variant_of(schema, depth)
        if variant is not None:
            return self.value(_described_like(schema, variant), name=name, depth=depth + 1, ordinal=ordinal)
        match kind_of(schema):
            case "object":
                return self._object(schema, depth, ordinal)
            case "array":
                return self._array(schema, name, depth, ordinal)
            case "integer":
                return int(self._number(schema, name, ordinal, default=1, step=1))
            case "number":
                return self._number(schema, name, ordinal, default=1.5, step=0.5)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema, name, ordinal)

    def _object(self, schema: JsonObject, depth: int, ordinal: int) -> JsonObject:
        properties = schema.get("properties") or {}
        wanted = list(properties if depth < DEEPEST else schema.get("required", ()))
        example = self._example(properties, ordinal) if wanted else {}
        return {
            name: example[name]
            if name in example
            else self.value(properties.get(name, {}), name=name, depth=depth + 1, ordinal=ordinal)
            for name in wanted
        }

    def _example(self, properties: JsonObject, ordinal: int) -> JsonObject:
        """The best example for these fields; lists may be left out of it, for they are made item by item."""
        schemas = {name: flat(schema, self._root) for name, schema in properties.items() if isinstance(schema, dict)}
        lists = [name for name, schema in schemas.items() if kind_of(schema) == "array"]
        found = examples.objects(
            self._material,
            properties.keys(),
            lists,
            lambda name, value: is_valid(value, schemas.get(name, {}), self._root),
            ordinal=ordinal,
        )
        return next(found, {})

    def _array(self, schema: JsonObject, name: str, depth: int, ordinal: int) -> list[Any]:
        prefix, items = schema.get("prefixItems") or [], _described_like(schema, schema.get("items", {}))
        least = int(schema.get("minItems", 0))
        length = max(least, len(prefix)) or (1 if depth < DEEPEST else 0)
        most = int(schema.get("maxItems", max(length, _MOST_ITEMS)))
        if not prefix and most and (numbers := self._numbers_named(items, ordinal)):
            return sorted(numbers[: max(least, min(most, _MOST_NUMBERS))])
        made = [
            self.value(prefix[place] if place < len(prefix) else items, name=name, depth=depth + 1, ordinal=place)
            for place in range(min(length, most))
        ]
        may_grow = made and not prefix and depth < DEEPEST and isinstance(items, dict)
        return made + (self._more_items(flat(items, self._root), made, name, depth, most) if may_grow else [])

    def _more_items(self, items: JsonObject, made: list[Any], name: str, depth: int, most: int) -> list[Any]:
        """Further items, as long as examples know other ones."""
        more: list[Any] = []
        known = [self._example(items.get("properties") or {}, place) for place in range(most)]
        for place in range(len(made), most):
            if kind_of(items) == "object" and known[place] and known[place] not in known[:place]:
                more.append(self._object(items, depth + 1, place))
            elif kind_of(items) == "string" and "enum" not in items:
                text = self._word(items, name, place)
                if text is None or not is_valid(text, items, self._root) or text in made + more:
                    break
                more.append(text)
            else:
                break
        return more

    def _numbers_named(self, items: Any, ordinal: int) -> list[int]:
        """The numbers of the material's items that a list of whole numbers refers to, other ones first each time."""
        is_whole = isinstance(items, dict) and kind_of(flat(items, self._root)) == "integer"
        numbers = self._material.numbers() if is_whole else []
        first = ordinal % len(numbers) if numbers else 0
        return [number for number in numbers[first:] + numbers[:first] if is_valid(number, items, self._root)]

    def _number(self, schema: JsonObject, name: str, ordinal: int, *, default: float, step: float) -> float:
        multiple = schema.get("multipleOf")
        step = multiple or step
        least = schema.get("minimum")
        if least is None and "exclusiveMinimum" in schema:
            least = schema["exclusiveMinimum"] + step
        most = schema.get("maximum")
        if most is None and "exclusiveMaximum" in schema:
            most = schema["exclusiveMaximum"] - step
        number = examples.number(name, schema.get("description", ""))
        if number is None:
            number = default if least is None or most is None else least + _HIGH * (most - least)
        if step == 1:
            number = round(number)
        number = number if least is None else max(number, least)
        number = number if most is None else min(number, most)
        if multiple:
            number = -(-number // multiple) * multiple
        following: float = number + ordinal * step
        return number if most is not None and following > most else following

    def _string(self, schema: JsonObject, name: str, ordinal: int) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        text = self._word(schema, name, ordinal) or self._unknown(name, ordinal)
        text = text.ljust(int(schema.get("minLength", 0)), ".")
        return text[: int(schema.get("maxLength", len(text)))]

    def _word(self, schema: JsonObject, name: str, ordinal: int) -> str | None:
        return examples.word(self._material, name, schema.get("description", ""), ordinal=ordinal)

    def _unknown(self, name: str, ordinal: int) -> str:
        """The field's own name and the topic: still to be told from other texts."""
        is_russian = self._material.language == "ru"
        words = "Вариант" if is_russian else name.replace("_", " ").strip().capitalize()
        about = topic(self._material.text)
        return f"{words}: {about}" + (f" {ordinal + 1}" if ordinal else "") if about else f"{words} {ordinal + 1}"
