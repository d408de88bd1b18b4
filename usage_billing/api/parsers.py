"""Parses untrusted JSON within bounds on size, depth and syntax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import msgspec
from django.conf import settings
from django.utils.translation import gettext
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

DEEPEST = 32
"""Levels of lists and objects. An agent's input has four."""


class BodyTooLargeError(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


def decoded(text: bytes | str) -> Any:
    """Decode a JSON text. Raises `ValueError` if it is not JSON (RFC 8259), not UTF-8, or nested too deep.

    Python's own decoder accepts NaN and lone surrogates, and raises other errors for deep nesting and long numbers.
    """
    try:
        value = msgspec.json.decode(text)
    except RecursionError:
        raise ValueError(gettext("Nested too deep.")) from None
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return value
    raise ValueError(gettext("Nested too deep."))


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


class BoundedJSONParser(BaseParser):
    """Reads a body of at most `DATA_UPLOAD_MAX_MEMORY_SIZE` bytes, the limit of forms."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        longest = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(longest + 1)
        if len(body) > longest:
            raise BodyTooLargeError(gettext("The body is longer than %(bytes)d bytes.") % {"bytes": longest})
        try:
            return decoded(body)
        except ValueError as error:
            raise ParseError(gettext("The body is not JSON: %(reason)s") % {"reason": error}) from error
