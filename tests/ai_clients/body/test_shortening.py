"""Large JSON loses its content and keeps its facts, wherever it is cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_clients.body import shortening
from ai_clients.body.shortening import HEAD_BYTES, STRING_BYTES, BoundedValue, JSONShortener

USAGE = {"input_tokens": 3, "details": {"rows": [1, 2, 3]}}


def shortened(pieces: list[bytes]) -> bytes:
    shortener = JSONShortener()
    return b"".join([*(shortener.feed(piece) for piece in pieces), shortener.flush()])


def cut(document: bytes, places: list[int]) -> list[bytes]:
    within = sorted({0, *(place % (len(document) + 1) for place in places), len(document)})
    return [document[start:stop] for start, stop in pairwise(within)]


def without_long_strings(value: Any, *, ascii_only: bool) -> Any:
    """The same rule by other means: on Python's own values."""
    if isinstance(value, str):
        written = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        return "" if len(written) - 2 > STRING_BYTES else value
    if isinstance(value, list):
        return [without_long_strings(item, ascii_only=ascii_only) for item in value]
    if isinstance(value, dict):
        return {
            without_long_strings(key, ascii_only=ascii_only): without_long_strings(item, ascii_only=ascii_only)
            for key, item in value.items()
        }
    return value


def times(letters: str, number: int) -> str:
    return letters * number


STRINGS = st.text(max_size=6) | st.builds(
    times,
    st.sampled_from(["x", '"', "\\", '\\"', '\\\\"', 'a"', "a\\", "й", "\n", '","usage":null', "[1,2,3,", "{", "😀"]),
    st.sampled_from([1, 50, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 3000]),
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | STRINGS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(document=DOCUMENTS, places=st.lists(st.integers(0, 50_000), max_size=12), ascii_only=st.booleans())
@settings(max_examples=300)
def test_shortened_json_has_all_but_long_strings(document: Any, places: list[int], ascii_only: bool) -> None:
    written = json.dumps(document, ensure_ascii=ascii_only).encode()
    assert json.loads(shortened(cut(written, places))) == without_long_strings(document, ascii_only=ascii_only)


@given(anything=st.binary(max_size=300), times_over=st.integers(1, 20), places=st.lists(st.integers(0, 6000)))
@settings(max_examples=200)
def test_shortening_anything_raises_nothing_and_adds_nothing(
    anything: bytes, times_over: int, places: list[int]
) -> None:
    document = anything * times_over
    assert len(shortened(cut(document, places))) <= len(document)


def test_long_rows_of_numbers_are_cut_and_those_in_strings_are_not() -> None:
    row = [0.5, -1.25e-7, 3] * 2000
    document = {"data": [{"embedding": row, "index": 0}], "id": "a,1,2,3,4" * 20, "n": 7, "m": 8, "usage": USAGE}
    short = json.loads(shortened(cut(json.dumps(document).encode(), [10_000, 20_001])))
    assert len(short["data"][0].pop("embedding")) < 10
    assert short == {"data": [{"index": 0}], "id": "a,1,2,3,4" * 20, "n": 7, "m": 8, "usage": USAGE}


def test_a_string_that_never_ends_stays_one_that_never_ends() -> None:
    assert shortened([b'{"a":"b']) == b'{"a":"b'
    assert shortened([b'{"a":"', b"b" * 5000]) == b'{"a":"'


def test_each_byte_is_given_to_a_pattern_once(monkeypatch: pytest.MonkeyPatch) -> None:
    given_bytes = 0

    class Counting:
        def __init__(self, pattern: Any) -> None:
            self.pattern = pattern

        def match(self, piece: bytes, position: int) -> Any:
            nonlocal given_bytes
            found = self.pattern.match(piece, position)
            given_bytes += found.end() - position
            return found

    for name in ("_SMALL_TOKENS", "_BETWEEN_STRINGS", "_QUOTES_OF_ONE_BACKSLASH", "_STRING_CONTENT"):
        monkeypatch.setattr(shortening, name, Counting(getattr(shortening, name)))
    document = json.dumps([{"a": 'say "x"\\ ' * 1000, "b": [1] * 1000, "c": "short"}] * 50).encode()
    shortened([document[at : at + 1000] for at in range(0, len(document), 1000)])
    assert given_bytes <= len(document)


# ── A bounded value ──────────────────────────────────────────────────────────────────────────────────────────────


def value_of(pieces: list[bytes]) -> BoundedValue:
    value = BoundedValue()
    for piece in pieces:
        value.take(piece)
    return value


def test_a_small_value_is_kept_as_it_came() -> None:
    document = b'{"text": "%s"}' % (b"x" * 5000)
    value = value_of([document[:7], document[7:]])
    assert (value.value(), value.too_large, len(value)) == (document, False, len(document))


@pytest.mark.parametrize("size", [1000, 2**24])
def test_a_large_value_is_shortened_from_its_beginning(size: int) -> None:
    document = json.dumps({"text": "x" * 2**21, "usage": USAGE}).encode()
    value = value_of([document[at : at + size] for at in range(0, len(document), size)])
    assert json.loads(value.value()) == {"text": "", "usage": USAGE}
    assert len(value) < 1000


def test_a_value_of_too_many_items_is_too_large_and_keeps_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortening, "MAX_BYTES", 2**21)
    document = json.dumps({"custom_id": "a", "items": [{"key": "value"}] * 200_000, "usage": USAGE}).encode()
    value = value_of([document[at : at + 65536] for at in range(0, len(document), 65536)])
    assert value.too_large
    assert (value.value(), len(value)) == (document[:HEAD_BYTES], HEAD_BYTES)
