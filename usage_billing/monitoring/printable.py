"""Text for terminals and logs: one line without control characters, even if it comes from outside.

A model's name in a provider's answer may hold escape sequences, which a terminal obeys, or a line break and a text
that looks like another record of the log.
"""

from __future__ import annotations

import json
import logging
import textwrap

NBSP = "\u00a0"
"""No-break space, in amounts and dates of many languages; every terminal shows it as a space."""


def printable(text: str) -> str:
    """Escape invisible characters as JSON does: `\\n`, `\\u001b`, `\\u202e`."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter == NBSP else json.dumps(letter).strip('"') for letter in text
    )


class OneLineFormatter(logging.Formatter):
    """Formats a record as one line, with its traceback indented below: no text can look like another record."""

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        # `exc_text` is the traceback of a record that came from another process.
        traceback = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        below = [_indented(text) for text in (traceback, record.stack_info) if text]
        return "\n".join([printable(self.formatMessage(record)), *below])


def _indented(text: str) -> str:
    return textwrap.indent("\n".join(map(printable, text.split("\n"))), "  ")
