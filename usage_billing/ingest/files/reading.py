"""Reads the rows of a file one by one: JSON Lines, a JSON list, CSV; each plain or gzip."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from django.utils.translation import gettext

from usage_billing.ingest.events import EventError

LONGEST_ROW = 16 * 2**20
"""Bytes of a row. LiteLLM can be set to keep prompts and answers in its logs, which are read over."""
_BLOCK = 256 * 1024

_LIST = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\{\s*"(?:events|data|calls|items|rows)"\s*:\s*)?\[')
"""The beginning of a list of rows, or of an object that begins with one."""
_JSON_LINES = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{")


class Row(NamedTuple):
    """A row, or why it cannot be read. number: of its line; in a JSON list, of the item. position: bytes read."""

    number: int
    value: dict[str, Any] | EventError
    position: int


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of the file. Raises `OSError`."""
    with path.open("rb") as file, _plain(path, file) as content:
        beginning = content.peek(4096)[:4096]
        if found := _LIST.match(beginning):
            content.read(found.end())
            read = _of_list(content)
        elif _JSON_LINES.match(beginning):
            read = _of_lines(content)
        else:
            read = _of_table(content)
        for number, value in read:
            is_row = isinstance(value, dict | EventError)
            yield Row(number, value if is_row else EventError(gettext("The row is no object.")), file.tell())


@contextmanager
def _plain(path: Path, file: io.BufferedReader) -> Iterator[io.BufferedReader]:
    if path.suffix != ".gz":
        yield file
        return
    with gzip.GzipFile(fileobj=file) as unpacked:
        yield io.BufferedReader(unpacked, _BLOCK)


Read = Iterator[tuple[int, Any]]


def _of_lines(content: io.BufferedReader) -> Read:
    number = 0
    while line := content.readline(LONGEST_ROW + 1):
        number += 1
        if len(line) > LONGEST_ROW:
            while line and not line.endswith(b"\n"):
                line = content.readline(LONGEST_ROW)
            yield number, EventError(_too_long())
            continue
        if stripped := line.removeprefix(b"\xef\xbb\xbf").strip():
            try:
                yield number, msgspec.json.decode(stripped)
            except (msgspec.DecodeError, RecursionError) as error:
                yield number, EventError(gettext("The line is not JSON: %(reason)s") % {"reason": error})


def _too_long() -> str:
    return gettext("The row is longer than %(bytes)d bytes.") % {"bytes": LONGEST_ROW}


def _number(digits: str) -> float:
    """Return a number that JSON has. Raises `ValueError` for NaN, infinity, and what is beyond a float."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


_decoder = json.JSONDecoder(parse_float=_number, parse_constant=_number)
_between = re.compile(r"[\s,]*")


def _of_list(content: io.BufferedReader) -> Read:
    """Yield the items of a JSON list whose bracket has been read. Its end, or damage, ends the file."""
    text = io.TextIOWrapper(content, "utf-8", errors="replace")
    try:
        yield from _items(text)
    finally:
        text.detach()  # the file is its opener's to close


def _items(text: io.TextIOWrapper) -> Read:
    buffer, at, number = text.read(_BLOCK), 0, 1
    while True:
        at = _after_space(buffer, at)
        if buffer[at : at + 1] == "]":
            return
        try:
            value, end = _decoder.raw_decode(buffer, at)
            # A number at the end of the block may go on in the next one.
            is_whole = isinstance(value, dict) or _after_space(buffer, end) < len(buffer)
        except (ValueError, RecursionError):
            is_whole = False
        if is_whole:
            yield number, value
            at, number = end, number + 1
            continue
        buffer, at = buffer[at:], 0
        more = text.read(max(_BLOCK, len(buffer)))
        if not more or len(buffer) > LONGEST_ROW:
            yield number, EventError(gettext("The list breaks off here, or is not JSON."))
            return
        buffer += more


def _after_space(buffer: str, start: int) -> int:
    found = _between.match(buffer, start)
    return found.end() if found else start


def _of_table(content: io.BufferedReader) -> Read:
    """Yield the rows of a table with a header, between commas, semicolons or tabs."""
    text = io.TextIOWrapper(content, "utf-8-sig", errors="replace", newline="")
    header = text.readline()
    delimiter = max(",;\t", key=header.count)
    names = next(csv.reader([header], delimiter=delimiter), [])
    before = csv.field_size_limit(LONGEST_ROW)
    reader = csv.reader(text, delimiter=delimiter)
    try:
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) != len(names):
                yield (
                    reader.line_num + 1,
                    EventError(
                        gettext("The row has %(cells)d cells, and the header has %(names)d.")
                        % {"cells": len(cells), "names": len(names)}
                    ),
                )
                continue
            yield reader.line_num + 1, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        yield reader.line_num + 1, EventError(gettext("The table cannot be read: %(reason)s") % {"reason": error})
    finally:
        csv.field_size_limit(before)
        text.detach()
