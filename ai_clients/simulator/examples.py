"""Examples of answers, from `examples.toml`: whole objects by the names of their fields, words by one name."""

import re
import tomllib
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ai_clients.simulator.answers import JsonObject
from ai_clients.simulator.materials import Material

Fits = Callable[[str, Any], bool]
"""Whether a value is valid for the field of this name."""


def objects(
    material: Material, names: Collection[str], free: Collection[str], fits: Fits, *, ordinal: int
) -> Iterator[JsonObject]:
    """The examples for an object with these fields that fit the material, best first.

    An example may leave out the fields in `free`. Those whose cue (`when`) is in the text come first, in the order of
    the file; then those without a cue, in an order of the seed's. A `fallback` is used where nothing else fits.
    """
    cued: list[JsonObject] = []
    others: list[JsonObject] = []
    fallbacks: list[JsonObject] = []
    for example in _read()["object"]:
        fields = example["fields"]
        if example["language"] != material.language or not set(names) - set(free) <= fields.keys() <= set(names):
            continue
        found = material.sentence_with(example["when"]) if "when" in example else ""
        if found or "when" not in example:
            filled = {name: _filled(value, material, ordinal, found) for name, value in fields.items()}
            if all(fits(name, value) for name, value in filled.items()):
                (cued if found else fallbacks if example.get("fallback") else others).append(filled)
    first = material.seed % len(others) if others else 0
    fitting = [*cued, *others[first:], *others[:first]] or fallbacks
    yield from fitting[ordinal % max(1, len(fitting)) :]


def _filled(value: Any, material: Material, ordinal: int, found: str) -> Any:
    if isinstance(value, str):
        return material.filled(value, ordinal=ordinal, found=found)
    if isinstance(value, list):
        filled = [_filled(item, material, ordinal, found) for item in value]
        return [item for item in filled if item is not None]
    return value


def word(material: Material, name: str, description: str, *, ordinal: int) -> str | None:
    """A text for a field of this name, or of this description; None if no rule knows it."""
    for rule in _matching("text", name, description):
        texts = [material.filled(text, ordinal=ordinal) for text in rule[material.language]]
        known = [text for text in texts if text is not None]
        if known:
            return known[(material.seed + ordinal) % len(known)]
    return None


def number(name: str, description: str) -> float | None:
    """A number for a field of this name, or of this description; None if no rule knows it."""
    rule = next(_matching("number", name, description), None)
    return None if rule is None else rule["value"]


def _matching(kind: str, name: str, description: str) -> Iterator[dict[str, Any]]:
    """The rules whose pattern is in the name, then those that have one for the description."""
    for words, key in ((name, "named"), (description, "described")):
        yield from (rule for rule in _read()[kind] if key in rule and re.search(rule[key], words, re.IGNORECASE))


@cache
def _read() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("examples.toml").read_text("utf-8"))
