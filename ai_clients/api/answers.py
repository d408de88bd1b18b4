"""How a call that came to nothing is answered.

422 where it is the text: refused, or too long to be answered in full. 502 where it is the provider: an error of its
own, or an answer that is not what was asked for.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException

from ai_clients.provider_errors import ProviderProblem, provider_problem
from ai_clients.structured import AnswerError, CutOff, Refused

logger = logging.getLogger(__name__)


class CallFailed(APIException):
    """`details` tell whether a retry makes sense (`retryable`), and in how many seconds (`retry_after_s`)."""

    def __init__(self, status_code: int, code: str, message: str, **details: Any) -> None:
        self.status_code = status_code
        # Set, not passed: DRF would turn each number into text.
        told: Any = {"detail": message, "code": code, **details}
        self.detail = told
        if (wait := details.get("retry_after_s")) is not None:
            self.wait = math.ceil(wait)  # DRF makes the header Retry-After of it


class Conflict(APIException):
    """What was asked for makes no sense as things stand."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


@contextmanager
def answered() -> Iterator[None]:
    """Calls of a provider made inside fail as the API's own errors; other errors stay what they are."""
    try:
        yield
    except AnswerError as error:
        status_code, code = {Refused: (422, "refused"), CutOff: (422, "cut_off")}.get(
            type(error), (502, "invalid_answer")
        )
        raise CallFailed(status_code, code, str(error), retryable=status_code == 502) from error
    except Exception as error:
        problem = provider_problem(error)
        if problem is None:
            raise
        logger.warning("A call of the AI provider failed: %s", type(error).__name__)
        raise _failed(problem) from error


def _failed(problem: ProviderProblem) -> CallFailed:
    return CallFailed(
        502,
        "provider_error",
        problem.message,
        provider_status=problem.status,
        retryable=problem.retryable,
        retry_after_s=problem.retry_after_s,
    )
