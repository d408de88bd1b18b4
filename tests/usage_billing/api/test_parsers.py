"""Bodies that a stranger sends: JSON within bounds, or 400 and 413."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from usage_billing.api.parsers import DEEPEST, decoded

DIGITS = "9" * 4400


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000, '{"a":' * 100_000, nested(DEEPEST + 2), nested(100_000), DIGITS, f'{{"a": {DIGITS}}}', "NaN",
        '{"a": Infinity}', '"\\ud800"', "1e999", b"\xff\xfe", b'{"username": "\xff"}', "{", "[1,]", "\x00",
    ],
    ids=lambda body: str(body[:20]),
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/token", "/api/token/refresh", "/api/token/revoke"])
@pytest.mark.django_db
def test_what_is_no_json_or_nested_too_deep_is_400(path: str, body: Any) -> None:
    answer = Client(headers={"accept-language": "en"}).post(path, body, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "parse_error")


@pytest.mark.django_db
def test_a_long_body_is_413_and_is_not_read(settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    for length, status in ((100, 400), (101, 413), (10**7, 413)):
        answer = Client().post("/api/token", b'"' + b"a" * (length - 2) + b'"', content_type="application/json")
        assert (answer.status_code, answer.json()["success"]) == (status, False)


def test_what_is_json_is_read() -> None:
    for text, value in (('{"a": [1, 2.5, null, true, "я"]}', {"a": [1, 2.5, None, True, "я"]}), ("[]", []), (b"1", 1)):
        assert decoded(text) == value
    assert decoded(nested(DEEPEST + 1)) is not None
