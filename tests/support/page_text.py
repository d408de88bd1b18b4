"""Extracts the text of a page from its HTML: headings, cards, tables, links."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

CELLS = {"h1", "h2", "h3", "th", "td", "dt", "dd", "caption"}


@dataclass
class PageText:
    """`tables`: caption → rows of cells; `cards`: term → its texts; `bars`: the title of each bar of the chart.

    `links`: text → address.
    """

    headings: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    cards: dict[str, list[str]] = field(default_factory=dict)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    bars: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    current_links: list[str] = field(default_factory=list)


def read(response: Any) -> PageText:
    reader = _Reader()
    reader.feed(response.content.decode())
    return reader.page


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = PageText()
        self._texts: list[str] = []
        self._title: list[str] = []
        self._linked: list[str] = []
        self._link = ""
        self._in_drawing = False
        self._rows: list[list[str]] = []
        self._term = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag in CELLS:
            self._texts = []
        elif tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag == "svg":
            self._in_drawing = True
        elif tag == "title":
            self._title = []
        elif tag == "a":
            self._link, self._linked = attributes["href"] or "", []
            if attributes.get("aria-current") == "page":
                self.page.current_links.append(self._link)

    def handle_data(self, data: str) -> None:
        self._texts.append(data)
        self._title.append(data)
        self._linked.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "svg":
            self._in_drawing = False
        elif tag == "title" and self._in_drawing:
            self.page.bars.append("".join(self._title).strip())
        elif tag == "a":
            self.page.links["".join(self._linked).strip()] = self._link
        if tag not in CELLS:
            return
        text = re.sub(r"[ \n]+", " ", "".join(self._texts)).strip(" ")
        match tag:
            case "h1":
                self.page.headings.append(text)
            case "h2" | "h3":
                self.page.titles.append(text)
            case "dt":
                self._term = text
            case "dd":
                self.page.cards.setdefault(self._term, []).extend([text] if text else [])
            case "caption":
                self.page.tables[text] = self._rows
            case "th" | "td":
                self._rows[-1].append(text)
