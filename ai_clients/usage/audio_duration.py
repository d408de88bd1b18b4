"""Reads the length of an audio file from its headers, for transcriptions whose answer does not tell it.

Formats: MP3, MP4 and M4A, Ogg (Vorbis, Opus, FLAC, Speex), FLAC, WAV, AIFF. WebM is not among them.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

from tinytag import TinyTag, TinyTagException

from ai_clients.usage import mp3_frames

LARGEST_MP3 = 64 * 2**20
"""MP3 files up to this size are read as a whole; OpenAI takes up to 25 MB (API reference: Create transcription)."""

FEWEST_BITS = 500
"""Bits a second: no codec for speech needs fewer. A header that tells a longer audio is damaged."""

_CANNOT = (AttributeError, TypeError, ValueError, OSError)
"""Errors of an object that is closed, that cannot seek, or that is not a file."""


def duration_of(file: Any) -> float | None:
    """Seconds of audio in these bytes, or in a seekable binary file, whose position stays the same.

    None for another format, for a file that is closed or cannot seek, for a header that does not tell the length, and
    for one that tells more than there is.
    """
    if isinstance(file, bytes):
        file = io.BytesIO(file)
    try:
        if not file.seekable():
            return None
        place = file.tell()
    except _CANNOT:
        return None
    try:
        return _duration(file)
    except _CANNOT:
        return None
    finally:
        with contextlib.suppress(*_CANNOT):
            file.seek(place)


def _duration(file: Any) -> float | None:
    file.seek(0)
    try:
        tag = TinyTag.get(file_obj=file, tags=False)
    except TinyTagException:
        return None
    if tag.mime_type == "audio/mpeg":
        file.seek(0)
        return mp3_frames.duration_of(file.read()) if tag.filesize <= LARGEST_MP3 else None
    seconds = tag.duration
    if not seconds or seconds > tag.filesize * 8 / FEWEST_BITS:
        return None
    is_uncompressed = tag.is_lossless and str(tag.mime_type).startswith(("audio/wav", "audio/aiff"))
    if is_uncompressed and not (tag.channels and seconds * (tag.bitrate or 0) * 1000 / 8 <= tag.filesize):
        return None
    return seconds
