"""A workbook written as it is sent is one that its readers take."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest

from usage_billing.api import workbook

SPACE = {"s": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


def sheet(content: bytes) -> ElementTree.Element:
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        assert book.testzip() is None
        for name in book.namelist():
            ElementTree.fromstring(book.read(name))  # noqa: S314 - our own
        return ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))  # noqa: S314 - our own file


def cell(value: Any) -> tuple[str | None, str, str]:
    """Style, and type and text, as its reader finds them."""
    found = sheet(b"".join(workbook.chunks(["name"], [[[value]]]))).find(".//s:row[@r='2']/s:c", SPACE)
    assert found is not None
    return found.get("s"), found.get("t", "n"), "".join(found.itertext())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a<b>&"c"', 'a<b>&"c"'),
        ("=1+1", "=1+1"),
        (" two  spaces ", " two  spaces "),
        ("a\tb\nc", "a\tb\nc"),
        ("a\rb\x00\x1f\uffff", "a_x000D_b_x0000__x001F__xFFFF_"),
        ("_x0041_ _x", "_x005F_x0041_ _x"),
        ("\ud800ы😀", "?ы😀"),
        ("ы" * 40_000, "ы" * 32_767),
    ],
)
def test_texts_stay_what_they_are(value: str, text: str) -> None:
    assert cell(value) == ("0", "inlineStr", text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12, (None, "n", "12")),
        (10**12, (None, "n", "1000000000000")),
        (Decimal("0.0000000625"), (None, "n", "6.25E-08")),
        (Decimal("-1.10"), (None, "n", "-1.1")),
        (date(2026, 5, 20), ("3", "n", "46162")),
        (datetime(2026, 5, 20, 18, tzinfo=UTC), ("2", "n", "46162.75")),
    ],
)
def test_numbers_and_days(value: Any, expected: tuple[str | None, str, str]) -> None:
    assert cell(value) == expected


def test_cells_are_named_and_nothing_is_an_empty_place() -> None:
    width = 30
    row = [*["x"] * (width - 2), None, "last"]
    found = sheet(b"".join(workbook.chunks([f"column {n}" for n in range(width)], [[row], [], [row]])))
    names = [[each.get("r") for each in line] for line in found.iterfind(".//s:row", SPACE)]
    assert names[0][:2] == ["A1", "B1"]
    assert names[0][25:] == ["Z1", "AA1", "AB1", "AC1", "AD1"]
    assert names[1][-2:] == ["AB2", "AD2"]
    assert [line.get("r") for line in found.iterfind(".//s:row", SPACE)] == ["1", "2", "3"]


def test_it_is_sent_as_rows_come_and_a_row_that_fails_leaves_it_broken() -> None:
    read = []

    def batches() -> Iterator[list[list[str]]]:
        for number in range(3):
            read.append(number)
            # Incompressible bytes are sent at once.
            yield [[random.Random(10 * number + row).randbytes(16_000).hex()] for row in range(3)]
        raise ConnectionError

    chunks = workbook.chunks(["name"], batches())
    assert (next(chunks)[:2], read) == (b"PK", [])
    for number in range(3):
        assert next(chunks)
        assert read == list(range(number + 1))
    with pytest.raises(ConnectionError):
        next(chunks)


def test_a_broken_workbook_is_none() -> None:
    chunks = list(workbook.chunks(["name"], [[["x"]]]))
    with pytest.raises(zipfile.BadZipFile):
        sheet(b"".join(chunks[:-1]))
