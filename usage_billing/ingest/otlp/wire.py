"""Reads the bodies of export requests, compressed or not, in protobuf or in JSON."""

from __future__ import annotations

import gzip
import io
import zlib

from usage_billing.ingest.otlp import json_form, protobuf_form
from usage_billing.ingest.otlp.records import LogRecord, Span, UnreadableError

LARGEST_BODY = 8 * 2**20
"""Bytes of a body after decompression. Decoded, a hostile one takes twenty times as much memory."""


class TooLargeError(ValueError):
    """Raised for a body of more than `LARGEST_BODY` bytes, compressed or not."""


def decompressed(body: bytes, encoding: str) -> bytes:
    """Return the body without its `Content-Encoding`. Raises `UnreadableError`, `TooLargeError`."""
    if encoding in ("", "identity"):
        plain = body
    elif encoding == "gzip":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
                plain = file.read(LARGEST_BODY + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableError(f"gzip: {error}") from error
    else:
        raise UnreadableError(f"Content-Encoding: {encoding[:40]}")
    if len(plain) > LARGEST_BODY:
        raise TooLargeError
    return plain


def spans(body: bytes, *, is_json: bool) -> list[Span]:
    """Return the spans of an export. Raises `UnreadableError`."""
    return list(json_form.spans(body) if is_json else protobuf_form.spans(body))


def logs(body: bytes, *, is_json: bool) -> list[LogRecord]:
    """Return the log records of an export. Raises `UnreadableError`."""
    return list(json_form.logs(body) if is_json else protobuf_form.logs(body))
