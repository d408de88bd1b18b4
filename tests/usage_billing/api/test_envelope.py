"""Every answer of the API has one shape."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.exceptions import Throttled, ValidationError
from rest_framework.test import APIClient

from tests.support import factories
from usage_billing.api.errors import exception_handler

pytestmark = pytest.mark.django_db


def test_an_unknown_address_is_answered_in_the_same_shape() -> None:
    answer = APIClient().get("/api/no/such/thing", headers={"accept-language": "en"})
    assert (answer.status_code, answer.json()) == (
        404,
        {
            "success": False,
            "error": {"code": "not_found", "message": "There is no such address in this API.", "details": {}},
        },
    )


def test_a_wrong_method_is_answered_in_the_same_shape() -> None:
    client = APIClient()
    client.force_authenticate(factories.user())
    answer = client.post("/api/billing/usage/tokens/summary")
    assert (answer.status_code, answer.json()["success"], answer.json()["error"]["code"]) == (
        405,
        False,
        "method_not_allowed",
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            ValidationError({"days": ["Write a number."]}),
            {"code": "invalid", "details": {"days": ["Write a number."]}},
        ),
        (Throttled(wait=3), {"code": "throttled", "details": {"retry_after_s": 3}}),
    ],
)
def test_errors_have_a_code_and_details(error: Exception, expected: dict[str, Any]) -> None:
    response = exception_handler(error, {})
    assert response is not None
    assert response.data["success"] is False
    assert {key: response.data["error"][key] for key in expected} == expected
    assert response.data["error"]["message"] != ""


def test_an_error_that_is_no_answer_is_left_to_django() -> None:
    assert exception_handler(ZeroDivisionError(), {}) is None
