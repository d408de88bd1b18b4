"""Draws a tiny real PNG."""

import struct
import zlib


def draw(red: int, green: int, blue: int, *, pixels: int = 8) -> bytes:
    """A square PNG of one colour (0 to 255 each), `pixels` wide and high."""
    header = struct.pack(">IIBBBBB", pixels, pixels, 8, 2, 0, 0, 0)
    row = b"\x00" + bytes((red, green, blue)) * pixels
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(row * pixels))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
