"""The API passes on when a provider may be asked again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from ai_clients.assistants.api.errors import RunFailedError
from ai_clients.assistants.calls.provider_errors import provider_problem, retry_after_s
from ai_clients.assistants.calls.structured import AnswerError, InvalidAnswerError, RefusedError, TruncatedAnswerError
from ai_clients.assistants.runs.measurement import Measurement
from ai_clients.assistants.runs.run import UnfinishedRunError
from usage_billing.costing.estimates import Estimate

NOW = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)
SPENT = Estimate(1, 9, 1, 10, Decimal("0.0010"), None, 0, 1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "20"}, 1.5),
        ({"retry-after": "Wed, 18 Nov 2026 09:00:30 GMT"}, 30),
        ({"retry-after": "Wed, 18 Nov 2026 08:00:00 GMT"}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3),
        ({"retry-after": "Wed, 18 Nov 2026 09:00:30"}, None),  # a date without a zone cannot be read
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds


def failed(cause: Exception, provider: Any = "openai") -> RunFailedError:
    unfinished = UnfinishedRunError(provider, Measurement(workflow_id="w", spent=SPENT))
    unfinished.__cause__ = cause
    return RunFailedError(unfinished)


def status_error(kind: Any, status: int, **headers: str) -> Any:
    request = httpx2.Request("POST", "https://api.openai.com/v1/chat/completions")
    response = httpx2.Response(status, headers=headers, request=request)
    return kind("Incorrect API key provided: sk-secret", response=response, body=None)


COST = {
    "requests_count": 1,
    "prompt_tokens": 9,
    "completion_tokens": 1,
    "total_tokens": 10,
    "cost_usd": "0.001",
    "cost_rub": None,
    "unpriced_count": 0,
    "unpriced_rub_count": 1,
}


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (status_error(openai.RateLimitError, 429, **{"retry-after": "7"}), (429, True, 7)),
        (status_error(openai.InternalServerError, 503), (503, True, None)),
        (status_error(anthropic.InternalServerError, 529), (529, True, None)),
        # It will not be better later, whatever a header says.
        (status_error(openai.AuthenticationError, 401, **{"retry-after": "7"}), (401, False, None)),
        (status_error(openai.BadRequestError, 400), (400, False, None)),
        (openai.APIConnectionError(request=httpx2.Request("POST", "https://x")), (None, True, None)),
        (openai.APITimeoutError(request=httpx2.Request("POST", "https://x")), (None, True, None)),
        (openai.OpenAIError("Missing credentials sk-secret"), (None, False, None)),
    ],
)
def test_failure_of_the_provider(cause: Exception, told: tuple[Any, bool, Any]) -> None:
    error = failed(cause)
    status, retryable, wait = told
    assert (error.status_code, error.detail["code"]) == (502, "provider_error")
    assert (error.detail["provider_status"], error.detail["retryable"], error.detail["retry_after_s"]) == (
        status,
        retryable,
        wait,
    )
    assert getattr(error, "wait", None) == wait
    assert dict(error.detail["cost"]) == COST
    # A provider's words may quote a key or the prompt.
    assert "secret" not in json.dumps(error.detail)


@pytest.mark.parametrize(
    ("cause", "status", "code", "retryable"),
    [
        (RefusedError("because"), 422, "refused", False),
        (TruncatedAnswerError(), 422, "cut_off", False),
        (InvalidAnswerError(), 502, "invalid_answer", True),
    ],
)
def test_useless_answer(cause: AnswerError, status: int, code: str, retryable: bool) -> None:
    error = failed(cause)
    assert (error.status_code, error.detail["code"], error.detail["retryable"]) == (status, code, retryable)
    assert error.detail["detail"] == str(cause)
    assert error.detail["workflow_id"] == "w"
    assert dict(error.detail["cost"]) == COST


@pytest.mark.parametrize("cause", [TypeError("x"), TruncatedAnswerError()])
def test_other_errors_are_no_problem_of_a_provider(cause: Exception) -> None:
    assert provider_problem(cause) is None


def test_wait_of_a_part_of_a_second_is_a_whole_one_in_the_header() -> None:
    error = failed(status_error(openai.RateLimitError, 429, **{"retry-after-ms": "1"}))
    assert (error.wait, error.detail["retry_after_s"]) == (1, 0.001)
