"""The tags of a call: a few short words by key, within bounds, so that totals by tag stay small."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Mapping
from typing import Any

from usage_billing.recording.texts import clean, text

logger = logging.getLogger(__name__)

MOST = 10
"""The most tags of one call."""
KEY_LENGTH = 40
VALUE_LENGTH = 100

_NOT_IN_KEYS = re.compile(r"[^\w.:-]")
_NOT_AT_THE_START = re.compile(r"[\s…]+")
"""Rollups name what is left of many values "…other" (`models.daily_tag_usage`): no value may look like that."""
_READ = 1_000
"""How many characters of a key or value are looked at."""


def key(given: Any) -> str:
    """Return a tag's key: letters, digits and `_ - . :`; other characters become `_`."""
    return _NOT_IN_KEYS.sub("_", text(given)[:KEY_LENGTH])


def value(given: Any) -> str:
    """Return a tag's value as printable text; empty if there is none."""
    if given is None:
        return ""
    cleaned = clean(text(given)[:_READ].strip())
    start = _NOT_AT_THE_START.match(cleaned)
    return cleaned[start.end() if start else 0 :][:VALUE_LENGTH].rstrip()


def bounded(given: Mapping[Any, Any]) -> dict[str, str]:
    """Return the first `MOST` tags, within the bounds. Idempotent. An empty key or value is no tag."""
    kept: dict[str, str] = {}
    for name, words in given.items():
        if (short := key(name)) and (word := value(words)) and (len(kept) < MOST or short in kept):
            kept[short] = word
    return kept


def merged(outer: Mapping[str, str], given: Mapping[Any, Any]) -> dict[str, str]:
    """Return the tags of a context inside another: its own win, and an empty value removes the outer one.

    What is out of bounds is cut or left out, with a warning. No content of `given` makes this raise.
    """
    try:
        named = {key(name): words for name, words in given.items()}
        own = bounded(named)
        is_cut = own != {text(name): word for name, words in given.items() if (word := _plain(words))}
    except Exception:
        logger.exception("Tags of type %s could not be read; AI calls are recorded without them.", type(given).__name__)
        return dict(outer)
    both = own | {name: word for name, word in outer.items() if name not in named}
    if is_cut or len(both) > MOST:
        _warn(", ".join(sorted(both)))
    return bounded(both)


def _plain(given: Any) -> str:
    return "" if given is None else text(given).strip()


@functools.lru_cache(maxsize=100)
def _warn(names: str) -> None:
    """Log once for the same keys: the context may be entered for every call."""
    logger.warning(
        "Some tags beside or among [%s] were cut or left out. A call has up to %d tags; a key has up to %d letters, "
        "digits and _ - . :, a value up to %d printable characters. Put longer text into usage_context(metadata=…).",
        names,
        MOST,
        KEY_LENGTH,
        VALUE_LENGTH,
    )
