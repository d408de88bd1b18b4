"""Streams a workbook of one sheet (ECMA-376, Office Open XML).

XlsxWriter and openpyxl write the file after its last row: a hundred seconds without a byte for 158,000 calls. A
workbook is a ZIP of a few small files and of the sheet, which can be written row by row.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from xml.sax.saxutils import escape

LONGEST_CELL = 32_767
"""Characters in a cell of Excel."""
EPOCH = datetime(1899, 12, 30, tzinfo=UTC)
"""Day 0 of a spreadsheet."""

_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_BOLD, _MOMENT, _DAY = 1, 2, 3
"""Indexes in `cellXfs`."""
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_DOCUMENT}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_DOCUMENT}">'
    '<sheets><sheet name="AI calls" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_DOCUMENT}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_DOCUMENT}/styles" Target="styles.xml"/></Relationships>',
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}">'
    '<numFmts count="2"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/>'
    '<numFmt numFmtId="165" formatCode="yyyy\\-mm\\-dd"/></numFmts>'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="4"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>'
    '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="165" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>',
}
_SHEET = (
    f'{_XML}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
    '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><sheetData>'
)

_NOT_XML = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)|[\x00-\x08\x0b-\x1f\ufffe\uffff]")
"""Characters that XML excludes, and an underscore that would start their escape (ECMA-376, ST_Xstring)."""


def chunks(header: Iterable[str], batches: Iterable[Iterable[Iterable[Any]]]) -> Iterator[bytes]:
    """Yield the header, then a chunk for each batch of rows. Texts are never formulas.

    Numbers have a spreadsheet's 15 digits; moments are in UTC.
    """
    sent = _Sent()
    with zipfile.ZipFile(sent, "w", zipfile.ZIP_DEFLATED) as book:
        for name, text in _PARTS.items():
            book.writestr(name, _XML + text)
        with book.open("xl/worksheets/sheet1.xml", "w") as sheet:
            sheet.write(f"{_SHEET}{_row(header, 1, _BOLD)}".encode())
            yield sent.taken()
            numbers = count(2)
            for batch in batches:
                sheet.write("".join(map(_row, batch, numbers)).encode())
                if chunk := sent.taken():
                    yield chunk
            sheet.write(b"</sheetData></worksheet>")
    yield sent.taken()


class _Sent(io.RawIOBase):
    """Collects what is written until it is taken. It cannot seek, so the ZIP writes each file's size after the file."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _row(values: Iterable[Any], number: int, style: int = 0) -> str:
    cells = "".join(_cell(f"{_column(place)}{number}", value, style) for place, value in enumerate(values))
    return f'<row r="{number}">{cells}</row>'


def _column(place: int) -> str:
    """A, B, …, Z, AA, …"""
    return (_column(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)


def _cell(name: str, value: Any, style: int) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        days = (value - EPOCH) / timedelta(days=1)
        return f'<c r="{name}" s="{_MOMENT}"><v>{days:.16G}</v></c>'
    if isinstance(value, date):
        return f'<c r="{name}" s="{_DAY}"><v>{(value - EPOCH.date()).days}</v></c>'
    if isinstance(value, int | Decimal):
        return f'<c r="{name}"><v>{float(value):.16G}</v></c>'
    text = _text(value)
    return f'<c r="{name}" s="{style}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


def _text(text: str) -> str:
    # A lone surrogate has no UTF-8.
    known = text[:LONGEST_CELL].encode("utf-8", "replace").decode()
    return escape(_NOT_XML.sub(lambda found: f"_x{ord(found[0]):04X}_", known))
