"""Reads the length of a WAV file from its head."""

from __future__ import annotations

import contextlib
import io
import os
import wave
from typing import Any

_CANNOT = (AttributeError, TypeError, ValueError, OSError)
"""Errors of an object that is closed, that cannot seek, or that is not a file."""


def duration_of(file: Any) -> float | None:
    """Seconds of audio in these bytes, or in a seekable binary file, whose position stays the same.

    None for another format, for a file that is closed or cannot seek, and for a head that says more than there is.
    """
    if isinstance(file, bytes):
        return _duration(io.BytesIO(file), len(file))
    try:
        if not file.seekable():
            return None
        place = file.tell()
    except _CANNOT:
        return None
    try:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        return _duration(file, size)
    except _CANNOT:
        return None
    finally:
        with contextlib.suppress(*_CANNOT):
            file.seek(place)


def _duration(file: Any, size: int) -> float | None:
    try:
        with wave.open(file, "rb") as audio:
            frames, rate = audio.getnframes(), audio.getframerate()
            told = frames * audio.getnchannels() * audio.getsampwidth()
    except (wave.Error, EOFError, ZeroDivisionError, RuntimeError):
        return None
    return frames / rate if rate and 0 < told <= size else None
