"""Draws a small real PNG: a sun over the sea, in shades of one colour."""

import struct
import zlib
from collections.abc import Iterator

PIXELS = 256
SUN = (0.68, 0.3, 0.13)
"""Centre and radius, as parts of the width."""
HORIZON = 0.66
"""As a part of the height."""


def draw(red: int, green: int, blue: int, *, pixels: int = PIXELS) -> bytes:
    """A square PNG in shades of this colour (0 to 255 each), `pixels` wide and high."""
    header = struct.pack(">IIBBBBB", pixels, pixels, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b"".join(_rows((red, green, blue), pixels))))
        + _chunk(b"IEND", b"")
    )


def _rows(colour: tuple[int, int, int], pixels: int) -> Iterator[bytes]:
    """Each row is a run or three of one shade, which takes no time and little space."""
    for number in range(pixels):
        height = number / pixels
        if height > HORIZON:
            yield b"\x00" + _shade(colour, -0.55 + (1 - height) * 0.3) * pixels
            continue
        across, down, radius = SUN
        reach = radius**2 - (height - down) ** 2
        half = round(reach**0.5 * pixels) if reach > 0 else 0
        left = round(across * pixels) - half
        sky, sun = _shade(colour, 0.25 + height * 0.6), _shade(colour, 0.92)
        yield b"\x00" + sky * left + sun * (2 * half) + sky * (pixels - left - 2 * half)


def _shade(colour: tuple[int, int, int], light: float) -> bytes:
    """The colour mixed with white (`light` up to 1) or with black (down to -1)."""
    goal = 255 if light > 0 else 0
    return bytes(round(part + (goal - part) * abs(light)) for part in colour)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
