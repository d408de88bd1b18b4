"""Parses bodies of events: JSON or JSON Lines, plain or gzip, within bounds before and after decompression."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

from usage_billing.api.parsers import BodyTooLargeError, decoded
from usage_billing.ingest.events import EventError

LARGEST_BYTES = 8 * 2**20
"""Of a body after decompression: 8 KB for each of 1,000 events; usual ones have 500 bytes."""


class UnknownEncodingError(APIException):
    status_code = status.HTTP_415_UNSUPPORTED_MEDIA_TYPE
    default_code = "unsupported_encoding"


class EventsParser(BaseParser):
    """JSON: a list of events, or an object with the list `events`."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            return decoded(_body(stream, parser_context))
        except ValueError as error:
            raise ParseError(gettext("The body is not JSON: %(reason)s") % {"reason": error}) from error


class EventLinesParser(BaseParser):
    """JSON Lines: an event a line. A line that is no JSON is refused by itself."""

    media_type = "application/x-ndjson"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return [_event(line) for line in _body(stream, parser_context).splitlines() if line.strip()]


class JsonLinesParser(EventLinesParser):
    media_type = "application/jsonl"


def _event(line: bytes) -> Any:
    try:
        return decoded(line)
    except ValueError as error:
        return EventError(gettext("The line is not JSON: %(reason)s") % {"reason": error})


def _body(stream: IO[Any], parser_context: Mapping[str, Any] | None) -> bytes:
    longest = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body: bytes = stream.read(longest + 1)
    if len(body) > longest:
        raise BodyTooLargeError(gettext("The body is longer than %(bytes)d bytes.") % {"bytes": longest})
    request = (parser_context or {}).get("request")
    encoding = "" if request is None else request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise UnknownEncodingError(gettext("The body may be compressed by gzip, and by nothing else."))
    return _decompressed(body)


def _decompressed(body: bytes) -> bytes:
    """Return the content of a gzip file, of one member or several. Raises `ParseError` and `BodyTooLargeError`."""
    content = b""
    while body:
        member = zlib.decompressobj(wbits=31)
        try:
            content += member.decompress(body, LARGEST_BYTES + 1 - len(content))
        except zlib.error as error:
            raise ParseError(gettext("The body is not gzip: %(reason)s") % {"reason": error}) from error
        if len(content) > LARGEST_BYTES:
            raise BodyTooLargeError(
                gettext("The body is longer than %(bytes)d bytes after decompression.") % {"bytes": LARGEST_BYTES}
            )
        if not member.eof:
            raise ParseError(gettext("The body is not gzip: %(reason)s") % {"reason": gettext("it is cut short")})
        body = member.unused_data
    return content
