"""Writes believable answers, always the same for the same seed, in Russian when the question has Cyrillic."""

import random
import re
import tomllib
from functools import cache
from pathlib import Path

from ai_clients.simulator.prompts import has_cyrillic
from ai_clients.simulator.tokens import CHARACTERS_PER_TOKEN, count


@cache
def _bank(language: str) -> dict[str, list[str]]:
    bank: dict[str, dict[str, list[str]]] = tomllib.loads(
        Path(__file__).with_name("sentences.toml").read_text("utf-8"),
    )
    return bank[language]


def write(question: str, *, seed: int, tokens: int) -> str:
    """Whole sentences of at least `tokens` tokens. The first one is about the longest word of the question."""
    bank = _bank("ru" if has_cyrillic(question) else "en")
    dice = random.Random(seed)  # noqa: S311 - sentences, not secrets
    text = dice.choice(bank["openings"]).format(topic=topic(question) or bank["nothing"])
    points: list[str] = []
    while count(text) < tokens:
        points = points or dice.sample(bank["points"], len(bank["points"]))
        text += f" {points.pop()}"
    return text


def cut(text: str, *, tokens: int) -> str:
    """The longest beginning of `text` that costs no more than `tokens` tokens."""
    return text[: tokens * CHARACTERS_PER_TOKEN]


def slices(text: str) -> list[str]:
    """The text in streamable parts of four tokens each; no parts for an empty text."""
    step = 4 * CHARACTERS_PER_TOKEN
    return [text[start : start + step] for start in range(0, len(text), step)]


def topic(question: str) -> str:
    """The longest word of the question, in small letters; empty if there is none."""
    # The end of a long prompt is enough: the question usually stands there, and the time stays the same.
    words: list[str] = re.findall(r"[^\W\d_]{3,30}", question[-2000:])
    return max(words, key=len, default="").lower()
