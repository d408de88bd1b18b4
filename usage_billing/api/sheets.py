"""Formats calls as CSV, JSON lines and a workbook, batch by batch; and whole tables."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from django.utils.formats import get_format

from usage_billing.api import workbook
from usage_billing.api.serializers import CallSerializer, columns_of_calls
from usage_billing.models import UsageRecord
from usage_billing.monitoring.printable import printable

CSV, JSON_LINES = "text/csv", "application/jsonl"
WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CONTENT_TYPES = {"csv": f"{CSV}; charset=utf-8", "jsonl": f"{JSON_LINES}; charset=utf-8", "xlsx": WORKBOOK}
WORKBOOK_ROWS = 500_000
"""The most calls in a workbook. A sheet holds twice as many, but Excel takes minutes to open them."""

COLUMNS: tuple[str, ...] = tuple(CallSerializer.Meta.fields)

FORMULA = re.compile(r"(?:\A|;)(?=\s*[=+\-@＝＋－＠])")
"""Places where a spreadsheet would read a formula (OWASP, CSV Injection).

Also after a semicolon, where Excel with Russian settings splits the file. Tabs and line breaks are escaped elsewhere.
"""

Batches = Iterable[Sequence[UsageRecord]]


class Dialect(NamedTuple):
    """The characters of a CSV file: between two cells, and in a decimal number."""

    delimiter: str
    decimal: str


PLAIN = Dialect(",", ".")
"""For programs (RFC 4180)."""


def dialect_of_language() -> Dialect:
    """The dialect that a spreadsheet expects in the active language: `;` where a comma is in the numbers."""
    return Dialect(";", ",") if get_format("DECIMAL_SEPARATOR") == "," else PLAIN


def csv_lines(batches: Batches, dialect: Dialect = PLAIN) -> Iterator[bytes]:
    """Write CSV with a byte-order mark, by which Excel recognizes UTF-8."""
    yield "\ufeff".encode()
    yield _csv([COLUMNS], dialect)
    for batch in batches:
        yield _csv([[_cell(value, dialect) for value in _values(call)] for call in batch], dialect)


def csv_file(rows: Iterable[Sequence[Any]], dialect: Dialect) -> bytes:
    """Return a whole file of these rows."""
    return "\ufeff".encode() + _csv([[_cell(value, dialect) for value in row] for row in rows], dialect)


def table(kind: str, header: Sequence[str], rows: Iterable[Sequence[Any]], dialect: Dialect = PLAIN) -> bytes:
    """Return a whole file of a table, such as a breakdown or a time series: `kind` is one of `CONTENT_TYPES`.

    In JSON lines the header's words are the names; elsewhere they are the first row.
    """
    if kind == "csv":
        return csv_file([header, *rows], dialect)
    if kind == "jsonl":
        return "".join(f"{json_line(dict(zip(header, row, strict=True)))}\n" for row in rows).encode()
    return b"".join(workbook.chunks(header, [[map(_of_workbook, row) for row in rows]]))


def json_lines(batches: Batches) -> Iterator[bytes]:
    for batch in batches:
        yield "".join(f"{json_line(dict(zip(COLUMNS, _values(call), strict=True)))}\n" for call in batch).encode()


def json_line(fields: dict[str, Any]) -> str:
    """Return an object as one line of JSON, without its end."""
    plain = {name: _plain(value) for name, value in fields.items()}
    return printable(msgspec.json.encode(plain).decode())  # its escapes are JSON's


def workbook_chunks(batches: Batches) -> Iterator[bytes]:
    """Write one sheet. Amounts become numbers, with a spreadsheet's 15 digits."""
    return workbook.chunks(COLUMNS, ([map(_of_workbook, _values(call)) for call in batch] for batch in batches))


def _of_workbook(value: Any) -> Any:
    return value if value is None or isinstance(value, int | Decimal | date) else _text(value)


def _values(call: UsageRecord) -> tuple[Any, ...]:
    _, values, _ = columns_of_calls()
    return values(call)


def _plain(value: Any) -> Any:
    """Write decimals as the API does."""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return value


def _cell(value: Any, dialect: Dialect) -> Any:
    """Return a cell of CSV. Text that a spreadsheet would run as a formula gets an apostrophe."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _plain(value).replace(".", dialect.decimal)
    if value is None or isinstance(value, int):
        return value
    return FORMULA.sub(r"\g<0>'", _text(value))


def _text(value: Any) -> str:
    """Return one line: no editor or terminal may take a part of a name for another row."""
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _csv(rows: Iterable[Sequence[Any]], dialect: Dialect) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=dialect.delimiter).writerows(rows)
    return buffer.getvalue().encode()
