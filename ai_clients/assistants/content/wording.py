"""Makes words of a model or a person fit for a field, a header, a line, a plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.template.loader import render_to_string


def one_line(text: str, longest: int) -> str:
    """Without line breaks, control characters (PostgreSQL refuses some), double spaces; at most `longest` letters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def plain_text(template: str, context: Mapping[str, Any]) -> str:
    """Render a template that does not escape, into text that every page has to escape.

    Django marks every rendered template as safe HTML, plain text too.
    """
    # `str` of a SafeString is the SafeString itself; a copy of its letters is not.
    return str.__str__(render_to_string(template, dict(context)))
