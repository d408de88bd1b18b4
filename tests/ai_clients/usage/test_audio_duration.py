"""The length of audio files, whose position stays the same."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tinytag import TinyTag

from ai_clients.usage.audio_duration import duration_of
from tests.support import audio
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


VARIABLE = [32] * 10 + [128, 320, 64] * 400
"""Begins like a file of constant bitrate: a reader that looks at the first frames tells 4 times too much."""

FILES = {
    "MP3, constant": (audio.mp3([64] * 500), 500 * audio.FRAME_SECONDS),
    "MP3, variable, without a header": (audio.mp3(VARIABLE), len(VARIABLE) * audio.FRAME_SECONDS),
    "MP3, variable, Xing": (audio.xing_mp3(VARIABLE), len(VARIABLE) * audio.FRAME_SECONDS),
    "MP3, constant, Info": (audio.xing_mp3([64] * 300, name=b"Info"), 300 * audio.FRAME_SECONDS),
    "MP3 behind a picture": (audio.id3() + audio.mp3([64] * 100), 100 * audio.FRAME_SECONDS),
    "MP3 before a tag": (audio.mp3([64] * 100) + b"TAG" + b"\0" * 125, 100 * audio.FRAME_SECONDS),
    "MP3 whose last frame is cut": (audio.mp3([64] * 100)[:-50], 99 * audio.FRAME_SECONDS),
    "M4A": (audio.m4a(12.5), 12.5),
    "Ogg Opus": (audio.opus(3.25), 3.25),
    "FLAC": (audio.flac(7.125), 7.125),
    "WAV": (wav(8.47), 8.47),
}


@pytest.mark.parametrize(("content", "seconds"), FILES.values(), ids=FILES.keys())
def test_duration_of_each_format(content: bytes, seconds: float) -> None:
    file = io.BytesIO(content)
    file.seek(9)
    assert duration_of(file) == pytest.approx(seconds, abs=0.01)
    assert duration_of(content) == duration_of(file)
    assert file.tell() == 9


def test_duration_of_an_mp3_is_not_guessed_from_its_beginning() -> None:
    """tinytag 2.3 takes ten equal frames for a constant bitrate: the reason for `mp3_frames`."""
    content, seconds = FILES["MP3, variable, without a header"]
    guessed = TinyTag.get(file_obj=io.BytesIO(content)).duration
    assert (guessed or 0) > 4 * seconds


DAMAGED = {
    "MP3, Xing tells more than there is": audio.xing_mp3([64] * 300, frames=3000),
    "MP3, garbage between its frames": audio.mp3([64] * 50) + b"\x12" * 2000 + audio.mp3([64] * 50),
    "MP3, one frame": audio.mp3([64]),
    "MP3, ID3 alone": audio.id3(),
    "M4A, length not determined": audio.m4a(0xFFFFFFFF / 1000),
    "M4A, fragments": audio.m4a(0),
    "M4A, cut in its head": audio.m4a(3)[:60],
    "FLAC, samples not told": audio.flac(0),
    "FLAC, more than the file can hold": audio.flac(10_000),
    "Ogg, cut in its head": audio.opus(3)[:20],
    "WebM, which is not read": b"\x1a\x45\xdf\xa3" + b"\0" * 500,
    "text": b"not audio at all " * 100,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_duration_of_a_damaged_file_is_unknown(content: bytes) -> None:
    assert duration_of(content) is None


@given(st.data())
@settings(max_examples=300)
def test_duration_of_any_bytes_raises_nothing(data: st.DataObject) -> None:
    content = data.draw(st.sampled_from([*(file for file, _ in FILES.values())]))[:3000]
    start = data.draw(st.integers(0, len(content)))
    odd = content[:start] + data.draw(st.binary(max_size=40)) + content[start + data.draw(st.integers(0, 40)) :]
    seconds = duration_of(odd)
    assert seconds is None or 0 < seconds <= len(odd) * 8 / 500


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
        wav(1)[:22] + b"\x00\x00" + wav(1)[24:],  # no channels
        wav(1)[:24] + b"\x00" * 4 + wav(1)[28:],  # no frames a second
    ],
    ids=range(9),
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
