"""The colour of a name: the same in every chart, for good."""

from __future__ import annotations

import zlib

COLORS = 20
"""Colours in `pages.css`: `c0` to `c19`, ten hues in two shades."""
OTHERS = "c-rest"


def color_of(dimension: str, name: str) -> str:
    """The class of the name's colour. Two names may share one; a chart tells them apart by a pattern."""
    return f"c{zlib.crc32(f'{dimension}:{name}'.encode()) % COLORS}"
