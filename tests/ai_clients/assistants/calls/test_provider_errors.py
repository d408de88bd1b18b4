"""The SDKs' errors, explained."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import openai
import pytest

from ai_clients.assistants.calls.provider_errors import ProviderProblem, provider_problem

REQUEST = httpx2.Request("POST", "https://api.example.com/")


def status_error(sdk: Any, status: int, **headers: str) -> Exception:
    response = httpx2.Response(status, request=REQUEST, headers=headers)
    error: Exception = sdk.APIStatusError("sk-secret in a message", response=response, body=None)
    return error


@pytest.mark.parametrize("sdk", [openai, anthropic])
@pytest.mark.parametrize(
    ("status", "headers", "retryable", "seconds"),
    [
        (429, {"retry-after": "7"}, True, 7.0),
        (429, {"retry-after-ms": "1500", "retry-after": "7"}, True, 1.5),
        (503, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, True, 0.0),
        (529, {"retry-after": "inf"}, True, None),
        (500, {"retry-after": "-1"}, True, 0.0),
        (408, {}, True, None),
        (401, {"retry-after": "7"}, False, None),
        (400, {}, False, None),
        (404, {}, False, None),
    ],
)
def test_statuses(sdk: Any, status: int, headers: dict[str, str], retryable: bool, seconds: float | None) -> None:
    problem = provider_problem(status_error(sdk, status, **headers))
    assert problem is not None
    assert (problem.status, problem.retryable, problem.retry_after_s) == (status, retryable, seconds)
    assert "sk-secret" not in problem.message


@pytest.mark.parametrize("sdk", [openai, anthropic])
def test_connections_and_keys(sdk: Any) -> None:
    unreachable = provider_problem(sdk.APIConnectionError(request=REQUEST))
    too_slow = provider_problem(sdk.APITimeoutError(REQUEST))
    no_key = provider_problem((sdk.OpenAIError if sdk is openai else sdk.AnthropicError)("no key"))
    assert [isinstance(one, ProviderProblem) and one.retryable for one in (unreachable, too_slow, no_key)] == [
        True,
        True,
        False,
    ]


def test_other_errors_are_none_of_the_providers() -> None:
    assert provider_problem(ValueError()) is None
