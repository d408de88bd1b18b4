"""Formats calls as CSV, JSON lines and a workbook, batch by batch."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from usage_billing.api import workbook
from usage_billing.api.serializers import CallSerializer, columns_of_calls
from usage_billing.models import UsageRecord
from usage_billing.monitoring.printable import printable

CSV, JSON_LINES = "text/csv", "application/jsonl"
WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
WORKBOOK_ROWS = 500_000
"""The most calls in a workbook. A sheet holds twice as many, but Excel takes minutes to open them."""

COLUMNS: tuple[str, ...] = tuple(CallSerializer.Meta.fields)

FORMULA = re.compile(r"(?:\A|;)(?=\s*[=+\-@＝＋－＠])")
"""Places where a spreadsheet would read a formula (OWASP, CSV Injection).

Also after a semicolon, where Excel with Russian settings splits the file. Tabs and line breaks are escaped elsewhere.
"""

Batches = Iterable[Sequence[UsageRecord]]


def csv_lines(batches: Batches) -> Iterator[bytes]:
    """Write CSV with a byte-order mark, by which Excel recognizes UTF-8."""
    yield "\ufeff".encode()
    yield _csv([COLUMNS])
    for batch in batches:
        yield _csv([[_cell(value) for value in _values(call)] for call in batch])


def csv_file(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return a whole file of these rows."""
    return "\ufeff".encode() + _csv([[_cell(value) for value in row] for row in rows])


def json_lines(batches: Batches) -> Iterator[bytes]:
    for batch in batches:
        yield "".join(f"{_json(call)}\n" for call in batch).encode()


def _json(call: UsageRecord) -> str:
    fields = {name: _plain(value) for name, value in zip(COLUMNS, _values(call), strict=True)}
    return printable(msgspec.json.encode(fields).decode())  # its escapes are JSON's


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


def _cell(value: Any) -> Any:
    """Return a cell of CSV. Text that a spreadsheet would run as a formula gets an apostrophe."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if value is None or isinstance(value, int | Decimal):
        return _plain(value)
    return FORMULA.sub(r"\g<0>'", _text(value))


def _text(value: Any) -> str:
    """Return one line: no editor or terminal may take a part of a name for another row."""
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()
