"""The length of a WAV file, whose position stays the same."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import pytest

from ai_clients.usage.wav import duration_of
from tests.support.wire import wav


@pytest.mark.parametrize("seconds", [0.5, 1, 8.47, 60])
def test_duration_is_that_of_the_audio(seconds: float) -> None:
    assert duration_of(wav(seconds)) == seconds
    assert duration_of(io.BytesIO(wav(seconds))) == seconds


def test_duration_of_a_file_leaves_it_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(1))
    with path.open("rb") as file:
        file.seek(7)
        assert duration_of(file) == 1
        assert file.tell() == 7
        assert not file.closed


def streamed_head(claimed: int) -> bytes:
    """A head of a program that does not know the length yet."""
    whole = wav(1)
    return whole[:40] + struct.pack("<I", claimed) + whole[44:]


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"RIFF",
        b"ID3\x04" + b"\x00" * 100,
        wav(1)[:30],
        wav(0),
        streamed_head(0xFFFFFFFF),
        streamed_head(0x7FFFFFFF),
        wav(1)[:20] + b"\x03\x00" + wav(1)[22:],  # floating point, which the standard library does not read
        wav(1)[:22] + b"\x00\x00" + wav(1)[24:],  # no channels
        wav(1)[:24] + b"\x00" * 4 + wav(1)[28:],  # no frames a second
    ],
    ids=range(10),
)
def test_duration_of_anything_else_is_unknown(odd: bytes) -> None:
    assert duration_of(odd) is None
    file = io.BytesIO(odd)
    assert duration_of(file) is None
    assert file.tell() == 0


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def read(self, *_: Any) -> bytes:
        raise AssertionError("a file that cannot be sought must not be read")


class Lying(io.BytesIO):
    """Says that it can be sought, and cannot."""

    def seek(self, *_: Any) -> int:
        raise OSError


class Broken(io.BytesIO):
    def read(self, *_: Any) -> bytes:
        raise OSError


def test_duration_of_a_file_that_cannot_be_asked_is_unknown() -> None:
    closed = io.BytesIO(wav(1))
    closed.close()
    for file in (Unseekable(wav(1)), Lying(wav(1)), Broken(wav(1)), closed, "text", None, 7, iter([wav(1)])):
        assert duration_of(file) is None
