"""Counts the frames of an MP3 file (ISO/IEC 11172-3 and 13818-3, layer III; the Xing and LAME tag specifications).

`tinytag` 2.3 estimates the length from the first frames where no Xing header tells it: a file of variable bitrate that
begins with silence would be told minutes too long.
"""

from __future__ import annotations

from typing import NamedTuple

MPEG1, MPEG2, MPEG25 = 3, 2, 0
_BITRATES = {
    MPEG1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    MPEG2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_BITRATES[MPEG25] = _BITRATES[MPEG2]
"""MPEG version → kbit/s by index, layer III. Index 0 means a free format, whose frames do not tell their length."""
_RATES = {MPEG1: (44100, 48000, 32000), MPEG2: (22050, 24000, 16000), MPEG25: (11025, 12000, 8000)}
_SAMPLES = {MPEG1: 1152, MPEG2: 576, MPEG25: 576}

_TAIL = (b"TAG", b"APETAGEX", b"LYRICSBEGIN")
"""Beginnings of tags that stand behind the audio (ID3v1, APEv2, Lyrics3)."""


class _Frame(NamedTuple):
    """The length of a frame in bytes, its samples and their rate; `kind`: what all frames of a file share."""

    length: int
    samples: int
    rate: int
    kind: tuple[int, int]


def duration_of(data: bytes) -> float | None:
    """Seconds of audio in an MP3 file; None if it is not one, or if a part of it is damaged.

    A Xing or Info header tells the number of frames (and is none of them). Without one, all frames are counted.
    """
    position = _after_id3(data)
    first = _frame(data, position)
    following = first and _frame(data, position + first.length)
    if first is None or following is None or following.kind != first.kind:
        return None
    if told := _told(data[position : position + first.length]):
        frames, size = told
        return frames * first.samples / first.rate if frames and size <= len(data) - position else None
    frames = _count(data, position, first)
    return frames * first.samples / first.rate if frames else None


def _after_id3(data: bytes) -> int:
    """The position behind the ID3v2 tags at the beginning (ID3v2.4.0, Main structure: a size of four times 7 bits)."""
    position = 0
    while data[position : position + 3] == b"ID3" and len(data) >= position + 10:
        size = 0
        for byte in data[position + 6 : position + 10]:
            size = size << 7 | byte & 0x7F
        position += 10 + size + (10 if data[position + 5] & 0x10 else 0)
    return position


def _frame(data: bytes, position: int) -> _Frame | None:
    head = data[position : position + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # eleven bits for synchronisation, layer III
        return None
    version, bitrate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version not in _RATES or not 0 < bitrate < 15 or rate == 3:
        return None
    samples, per_second = _SAMPLES[version], _RATES[version][rate]
    length = samples // 8 * _BITRATES[version][bitrate] * 1000 // per_second + (head[2] >> 1 & 1)
    return _Frame(length, samples, per_second, (version, rate))


def _told(frame: bytes) -> tuple[int, int] | None:
    """Number of frames and of bytes (0: not told) by the Xing or Info header in the first frame; None without one."""
    at = max(frame.find(b"Xing", 0, 48), frame.find(b"Info", 0, 48))
    if at < 0 or len(frame) < at + 16:
        return None
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    fields = [int.from_bytes(frame[at + 8 + 4 * n : at + 12 + 4 * n], "big") for n in range(2)]
    if not flags & 1:
        return None
    return fields[0], fields[1] if flags & 2 else 0


def _count(data: bytes, position: int, first: _Frame) -> int:
    """The number of frames from `position` to the end of the file or to a tag; 0 if something else lies between."""
    frames = 0
    while position < len(data):
        frame = _frame(data, position)
        if frame is None or frame.kind != first.kind:
            return frames if data.startswith(_TAIL, position) or not data[position:].strip(b"\0") else 0
        position += frame.length
        frames += position <= len(data)
    return frames
