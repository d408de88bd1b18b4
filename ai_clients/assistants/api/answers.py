"""How a call that came to nothing is answered.

422 where it is the text: refused, or too long to be answered in full. Sending it again is of no use.
502 where it is the provider: an error of its own, or an answer that is not what was asked for.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException, Throttled

from ai_clients.assistants.calls.provider_errors import provider_problem
from ai_clients.assistants.calls.structured import AnswerError, RefusedError, TruncatedAnswerError
from usage_billing.auth import run_throttling

logger = logging.getLogger(__name__)


class CallFailed(APIException):
    """What `what_failed` tells; its `details` say whether a retry makes sense, and in how many seconds."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.status_code: int = told.pop("status_code")
        if (wait := told.get("retry_after_s")) is not None:
            self.wait = math.ceil(wait)  # DRF makes the header Retry-After of it
        # Set, not passed: DRF would turn each number into text.
        self.detail: Any = told


class Conflict(APIException):
    """What was asked for makes no sense as things stand."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


def count_run(*, user_id: int | None, org_id: int) -> None:
    """As `run_throttling.count_run`; 429 over the limit."""
    try:
        run_throttling.count_run(user_id=user_id, org_id=org_id)
    except run_throttling.TooManyRunsError as error:
        raise Throttled(error.seconds, str(error), "too_many_runs") from error


@contextmanager
def answered() -> Iterator[None]:
    """Calls of a provider made inside fail as the API's own errors; other errors stay what they are."""
    try:
        yield
    except Exception as error:
        told = what_failed(error)
        if told is None:
            raise
        if told["code"] == "provider_error":
            logger.warning("A call of the AI provider failed: %s", type(error).__name__)
        raise CallFailed(told) from error


def what_failed(error: BaseException | None) -> dict[str, Any] | None:
    """`status_code`, `code`, `detail` for people, `retryable` and what else is known; None: another kind of error."""
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
