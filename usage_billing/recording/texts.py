"""Text that comes from a caller or a provider, as it may be stored."""

from __future__ import annotations

import re
from typing import Any

UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Control characters, bidirectional overrides, invisible characters, lone surrogates: no name needs one."""
REPLACEMENT = "\ufffd"


def text(value: Any) -> str:
    """Return the value as a plain `str`. An object whose `__str__` fails is written as its class."""
    try:
        # Not `isinstance`, which asks a lazy object for its class.
        return str.__str__(value if issubclass(type(value), str) else str(value))
    except Exception:  # noqa: BLE001 - the caller's object; neither the caller nor the call may suffer from it
        return f"<{type(value).__name__}>"


def clean(given: str) -> str:
    """Return the text without NUL, and with a mark for each character that no name should have."""
    return given if given.isprintable() else UNPRINTABLE.sub(REPLACEMENT, given.replace("\x00", ""))
