"""Reads what a structured answer is about out of a prompt: its language, its JSON material, its sentences.

The assistants give their material as JSON (`ai_clients/assistants/calls/structured.py`). Any other prompt is its own
material: a text.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ai_clients.simulator.answers import JsonObject
from ai_clients.simulator.prompts import Prompt, has_cyrillic
from ai_clients.simulator.sentences import topic

TEXTS = ("question", "comment", "claim", "text")
"""Fields of a material that hold the text to work on, the first one that is there."""
LANGUAGES = {"по-английски": "en", "in english": "en", "по-русски": "ru", "in russian": "ru"}
"""Words of the instructions → the language that they ask for. The last one in the instructions counts."""
EXCERPT = 600
"""Letters of an excerpt: short enough for any platform's limit."""
STEM = 5
"""Letters by which two words are taken for one."""
QUOTED = 160
"""Letters of a value of the material that is quoted in an answer."""

_PLACEHOLDER = re.compile(r"\{([a-z_]+(?:\.[a-z_]+|\.\d+)*)\}")


@dataclass(frozen=True)
class Material:
    """values: the material's JSON. text: what to work on. The seed chooses between answers that fit equally well."""

    text: str = ""
    language: str = "en"
    seed: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def sentences(self) -> list[str]:
        return [sentence for sentence in re.split(r"(?<=[.!?…])\s+|\n+", self.text.strip()) if sentence]

    @cached_property
    def facts(self) -> list[str]:
        """The sentences with a number in them, or all if there is none."""
        return [sentence for sentence in self.sentences if re.search(r"\d", sentence)] or self.sentences

    @cached_property
    def items(self) -> list[JsonObject]:
        """The material's items (posts, sources, messages); those that share words with the text come first."""
        return sorted(_items(self.values), key=lambda item: -len(_stems(item.get("text")) & _stems(self.text)))

    @cached_property
    def related(self) -> list[JsonObject]:
        """The items that share words with the text."""
        return [item for item in self.items if _stems(item.get("text")) & _stems(self.text)]

    def numbers(self) -> list[int]:
        """The numbers of the related items, or of all if none is."""
        numbers = (item.get("number") for item in self.related or self.items)
        return [number for number in numbers if isinstance(number, int)]

    def sentence_with(self, pattern: str) -> str:
        """The first sentence in which the pattern is found; empty if none."""
        return next((sentence for sentence in self.sentences if re.search(pattern, sentence, re.IGNORECASE)), "")

    def filled(self, template: str, *, ordinal: int, found: str = "") -> str | None:
        """The template with its placeholders filled in; None if the material lacks one of them.

        `{sentence}`, `{fact}`: the one at this place; `{excerpt}`: the beginning; `{found}`: the sentence that made an
        example fit; `{topic}`: the longest word. Others are paths into the material, such as `{by_agent.0.name}`, and
        into its related items: `{related.0.text}`.
        """
        missing = False

        def value(match: re.Match[str]) -> str:
            nonlocal missing
            got = self._value(match[1], ordinal, found)
            missing = missing or not got
            return got

        filled = _PLACEHOLDER.sub(value, template)
        return None if missing else filled

    def _value(self, name: str, ordinal: int, found: str) -> str:
        match name:
            case "sentence" | "fact":
                texts = self.facts if name == "fact" else self.sentences
                return texts[ordinal] if ordinal < len(texts) else ""
            case "excerpt":
                return "".join(self._excerpt()).strip()
            case "found":
                return found
            case "topic":
                return topic(self.text)
            case _:
                return self._at(name)

    def _excerpt(self) -> Iterator[str]:
        length = 0
        for sentence in self.sentences:
            length += len(sentence) + 1
            if length > EXCERPT:
                return
            yield f"{sentence} "

    def _at(self, path: str) -> str:
        value: Any = {**self.values, "related": self.related}
        for key in path.split("."):
            if isinstance(value, list) and key.isdecimal():
                value = value[int(key)] if int(key) < len(value) else None
            else:
                value = value.get(key) if isinstance(value, dict) else None
        text = str(value) if isinstance(value, str | int | float) else ""
        return text if len(text) <= QUOTED else f"{text[:QUOTED].rsplit(' ', 1)[0]}…"


NOTHING = Material()


def read(prompt: Prompt, seed: int) -> Material:
    """The material of a prompt; `seed` is that of the answer."""
    values = _json(prompt.question)
    text = "\n".join(_texts(values)) if values else prompt.question
    return Material(text=text, language=_language(prompt, text), seed=seed, values=values)


def _texts(values: JsonObject) -> list[str]:
    """The first of `TEXTS` that is there, or the texts of the material's items (messages, posts)."""
    named = [value for name in TEXTS if isinstance(value := values.get(name), str) and value]
    return named[:1] or [text for item in _items(values) if isinstance(text := item.get("text"), str)]


def _items(values: Mapping[str, Any]) -> Iterator[JsonObject]:
    lists = (value for value in values.values() if isinstance(value, list))
    return (item for items in lists for item in items if isinstance(item, dict))


def _stems(text: object) -> frozenset[str]:
    """The beginnings of the longer words: «перенос» and «переноса» are one."""
    words = re.findall(r"[^\W\d_]{5,}", text.lower()) if isinstance(text, str) else []
    return frozenset(word[:STEM] for word in words)


def _json(text: str) -> JsonObject:
    """The JSON object in the text; empty if there is none."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return {}
    try:
        value = json.loads(text[start : end + 1])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _language(prompt: Prompt, text: str) -> str:
    instructions = " ".join(piece.text for piece in prompt.pieces if piece.text != prompt.question).lower()
    places = {instructions.rfind(words): language for words, language in LANGUAGES.items() if words in instructions}
    if places:
        return places[max(places)]
    return "ru" if has_cyrillic(text or prompt.question) else "en"
