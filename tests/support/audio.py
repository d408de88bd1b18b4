"""Small audio files of known length, built from the formats' specifications: headers are real, the sound is silence."""

from __future__ import annotations

import struct
from collections.abc import Iterable

BITRATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
"""Kbit/s by index: MPEG-1, layer III."""
FRAME_SECONDS = 1152 / 44100


def mp3_frame(bitrate: int, content: bytes = b"") -> bytes:
    """One frame at 44.1 kHz, mono; `bitrate` in kbit/s."""
    length = 144_000 * bitrate // 44100
    head = bytes((0xFF, 0xFB, BITRATES.index(bitrate) << 4, 0xC0))
    return (head + b"\0" * 17 + content).ljust(length, b"\0")


def mp3(bitrates: Iterable[int]) -> bytes:
    """A file without a Xing header: one frame for each bitrate."""
    return b"".join(map(mp3_frame, bitrates))


def id3(size: int = 3000) -> bytes:
    """An ID3v2.4 tag with that many bytes of content, such as a picture whose bytes look like frames."""
    digits = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\0\0" + digits + (mp3_frame(128) * (size // 417 + 1))[:size]


def xing_mp3(bitrates: list[int], frames: int | None = None, name: bytes = b"Xing") -> bytes:
    """A file with a Xing header, which may tell another number of frames than there are."""
    audio = mp3(bitrates)
    told = len(bitrates) if frames is None else frames
    size = 417 + len(audio) * told // len(bitrates)
    return mp3_frame(128, name + struct.pack(">III", 3, told, size)) + audio


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def m4a(seconds: float, audio: int = 8000) -> bytes:
    """An MP4 file whose movie header tells the length (ISO/IEC 14496-12, `mvhd`)."""
    header = b"\0" * 12 + struct.pack(">II", 1000, round(seconds * 1000)) + b"\0" * 80
    return box(b"ftyp", b"M4A \0\0\0\0M4A mp42") + box(b"moov", box(b"mvhd", header)) + box(b"mdat", b"\0" * audio)


def ogg_page(serial: int, number: int, granule: int, packet: bytes, kind: int) -> bytes:
    segments = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, kind, granule, serial, number, 0, len(segments))
    return head + segments + packet


def opus(seconds: float) -> bytes:
    """An Ogg Opus file (RFC 7845): the last page's granule position counts samples at 48 kHz, 312 of them skipped."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 4) + b"test" + struct.pack("<I", 0)
    pages = [(0, head, 2), (0, tags, 0), (round(seconds * 48000) + 312, b"\xf8" * 200, 4)]
    return b"".join(ogg_page(7, number, granule, packet, kind) for number, (granule, packet, kind) in enumerate(pages))


def flac(seconds: float, audio: int = 8000) -> bytes:
    """A FLAC file (RFC 9639): `STREAMINFO` tells the rate and the number of samples."""
    packed = 16000 << 44 | 0 << 41 | 15 << 36 | round(seconds * 16000)
    info = struct.pack(">HH", 4096, 4096) + b"\0" * 6 + packed.to_bytes(8, "big") + b"\0" * 16
    return b"fLaC" + bytes((0x80,)) + len(info).to_bytes(3, "big") + info + b"\xff\xf8" + b"\0" * audio
