"""The parts of an answer are found in everything that a provider may send."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_clients.usage.answer import (
    NO_USAGE,
    decoder,
    has_usage,
    names_usage,
    payloads,
    text,
    usage_block,
)


class _Shape(msgspec.Struct):
    id: Any = None
    usage: msgspec.Raw = NO_USAGE


read = decoder(_Shape)


def test_decoder_json_reads_the_fields() -> None:
    shape = read(b' {"id": 7, "other": [1, 2], "usage": {"a": 1}} ')
    assert shape.id == 7
    assert bytes(shape.usage) == b'{"a": 1}'


@pytest.mark.parametrize("place", ["other", "id"])
def test_decoder_half_an_emoji_reads_the_rest(place: str) -> None:
    # A server that cuts text by UTF-16 units sends this; the SDKs, on Python's own reader, take it.
    shape = read(b'{"%s": "\\ud83d!", "usage": {"a": 1}}' % place.encode())
    assert shape.id == (None if place == "other" else "?!")
    assert msgspec.json.decode(shape.usage) == {"a": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"not JSON",
        b"\xff",
        b'{"id": "\xff"}',
        b'{"id": NaN}',
        b'{"id": 1e999}',
        b'{"id": ' + b"[" * 100_000,
        b'{"id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"id": ' + b"1" * 5000 + b', "bad": "\\ud83d"}',
    ],
    ids=lambda body: body[:12].decode("latin-1"),
)
def test_decoder_anything_else_raises_decode_error(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read(body)


@given(st.binary() | st.text().map(str.encode))
@settings(max_examples=200)
def test_decoder_any_bytes_raises_nothing_but_decode_error(body: bytes) -> None:
    try:
        read(body)
    except msgspec.DecodeError:
        return


@pytest.mark.parametrize(("value", "expected"), [("word", "word"), (7, ""), (None, ""), ({"a": 1}, ""), (True, "")])
def test_text_value_is_kept_only_if_text(value: object, expected: str) -> None:
    assert text(value) == expected


@pytest.mark.parametrize(("raw", "expected"), [(b' \n{"a":1}', True), (b"{}", True), (b"null", False), (b"[1]", False)])
def test_has_usage_tells_a_block_from_none(raw: bytes, expected: bool) -> None:
    assert has_usage(msgspec.Raw(raw)) is expected


def test_usage_block_is_the_block_as_it_came() -> None:
    raw = msgspec.Raw(b'{"a" : 1.10, "b": 123456789012345678901234567890}')
    assert bytes(usage_block(raw)) == b'{"a" : 1.10, "b": 123456789012345678901234567890}'
    assert bytes(usage_block(msgspec.Raw(b"7"))) == b"null"


@pytest.mark.parametrize("raw", [b'{"a": "\xff"}', b'{"a": 1e999}'])
def test_usage_block_that_the_ledger_could_not_read_raises(raw: bytes) -> None:
    assert bytes(read(b'{"usage": %s}' % raw).usage) == raw  # msgspec hands out a raw part unchecked
    with pytest.raises(msgspec.DecodeError):
        usage_block(msgspec.Raw(raw))


def test_payloads_are_the_data_of_each_event() -> None:
    lines = [b"event: ping", b'data: {"a":1}', b"", b": comment", b'data:{"b":2}', b"id: 1", b"", b"data: [DONE]"]
    assert payloads(lines) == [b'{"a":1}', b'{"b":2}', b"[DONE]"]


@pytest.mark.parametrize("cut", [b"data: ", b"data: {", b'data: {"a":1', b"data: [DON"])
def test_payloads_leave_out_an_event_cut_in_two(cut: bytes) -> None:
    assert payloads([b'data: {"a":1}', cut]) == [b'{"a":1}']


def test_payloads_keep_a_last_event_with_half_an_emoji() -> None:
    assert payloads([b'data: {"a":"\\ud83d"}']) == [b'{"a":"\\ud83d"}']


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"usage":{"a":1}}', True),
        (b'{"usage" :\n {}}', True),
        (b'{"usage":null}', False),
        (b'{"text":"\\"usage\\":{"}', False),
        (b"{}", False),
    ],
)
def test_names_usage_is_not_misled_by_text(payload: bytes, expected: bool) -> None:
    assert names_usage(payload) is expected
