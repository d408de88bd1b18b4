"""Turns failed AI calls into errors of the API.

422 if the text is the reason: refused, or too long to be answered in full. A retry is useless.
502 if the provider is the reason: an error of its own, or an answer that does not fit the request.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException, Throttled

from ai_clients.assistants.api import examples
from ai_clients.assistants.api.serializers import EstimateSerializer
from ai_clients.assistants.calls.provider_errors import provider_problem
from ai_clients.assistants.calls.structured import AnswerError, RefusedError, TruncatedAnswerError
from ai_clients.assistants.runs.run import UnfinishedRunError
from usage_billing.api.examples import THROTTLED
from usage_billing.api.schema import refusal
from usage_billing.auth import run_throttling

logger = logging.getLogger(__name__)

RESPONSES = {
    422: refusal("The model refused, or its answer was cut off. A retry is useless.", examples.CUT_OFF),
    429: refusal(
        "Too many requests or runs; `Retry-After` gives the seconds to wait.", examples.TOO_MANY_RUNS, THROTTLED
    ),
    502: refusal("The provider failed; `details` says whether and when to retry.", examples.PROVIDER_BUSY),
}
"""The errors of every endpoint that calls a provider."""


class CallFailedError(APIException):
    """An error with the fields of `failure_of`; its `details` say whether and when to retry."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.status_code: int = told.pop("status_code")
        if (wait := told.get("retry_after_s")) is not None:
            self.wait = math.ceil(wait)  # DRF makes the header Retry-After of it
        # Set, not passed: DRF would turn each number into text.
        self.detail: Any = told


class RunFailedError(CallFailedError):
    """A failed run: `details` have its cost, and whether and when to retry."""

    def __init__(self, unfinished: UnfinishedRunError) -> None:
        error = unfinished.__cause__
        told = failure_of(error)
        if told is None:
            raise TypeError("A run is unfinished for a reason of the provider's.") from error
        if told["code"] == "provider_error":
            told["provider"] = unfinished.provider
        told |= {"workflow_id": unfinished.workflow_id, "cost": EstimateSerializer(unfinished.spent).data}
        super().__init__(told)


class ConflictError(APIException):
    """The request does not fit the present state."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


def count_run(*, user_id: int | None, org_id: int) -> None:
    """Count a run as `run_throttling.count_run` does; 429 over the limit."""
    try:
        run_throttling.count_run(user_id=user_id, org_id=org_id)
    except run_throttling.TooManyRunsError as error:
        raise Throttled(error.seconds, str(error), "too_many_runs") from error


@contextmanager
def answered() -> Iterator[None]:
    """Turn a failed provider call made inside into an error of the API. Other errors are raised unchanged."""
    try:
        yield
    except Exception as error:
        told = failure_of(error)
        if told is None:
            raise
        if told["code"] == "provider_error":
            logger.warning("A call of the AI provider failed: %s", type(error).__name__)
        raise CallFailedError(told) from error


def failure_of(error: BaseException | None) -> dict[str, Any] | None:
    """The fields of the API's error: `status_code`, `code`, `detail` (for people), `retryable` and more.

    None if it is not the error of an AI call.
    """
    if isinstance(error, AnswerError):
        status_code, code = {RefusedError: (422, "refused"), TruncatedAnswerError: (422, "cut_off")}.get(
            type(error), (502, "invalid_answer")
        )
        return {"status_code": status_code, "code": code, "detail": str(error), "retryable": status_code == 502}
    problem = None if error is None else provider_problem(error)
    if problem is None:
        return None
    return {
        "status_code": 502,
        "code": "provider_error",
        "detail": problem.message,
        "provider_status": problem.status,
        "retryable": problem.retryable,
        "retry_after_s": problem.retry_after_s,
    }
