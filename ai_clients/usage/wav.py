"""How long a WAV file lasts, read from its head without moving it."""

from __future__ import annotations

import contextlib
import io
import os
import wave
from typing import Any

_CANNOT = (AttributeError, TypeError, ValueError, OSError)
"""What a file raises that is closed, that cannot be sought, or that is none."""


def duration_of(file: Any) -> float | None:
    """Seconds of audio in these bytes, or in a seekable binary file, which is left where it was.

    None for another format, a file that cannot be sought or is closed, and a head that says more than there is.
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
