"""How the API says that a run came to nothing.

422 where it is the text: refused, or too long to be answered in full. Sending it again is of no use.
502 where it is the provider: an error of its own, or an answer that is not what was asked for.
"""

from __future__ import annotations

import math
from typing import Any

from drf_spectacular.utils import OpenApiResponse
from rest_framework.exceptions import APIException

from ai_clients.api.serializers import SpentSerializer
from ai_clients.provider_errors import provider_problem
from ai_clients.runs import Unfinished
from ai_clients.structured import AnswerError, CutOff, Refused

_ERROR = {"$ref": "#/components/schemas/Error"}
RESPONSES = {
    422: OpenApiResponse(_ERROR, "The model refused, or the answer was cut off; `details` has what it cost."),
    502: OpenApiResponse(_ERROR, "The provider failed; `details` tell whether and when a retry makes sense."),
}


class RunFailed(APIException):
    """A run that came to nothing: `details` tell what it cost, and whether and when a retry makes sense."""

    def __init__(self, unfinished: Unfinished) -> None:
        error = unfinished.__cause__
        told = _useless(error) if isinstance(error, AnswerError) else _failed(error, unfinished.provider)
        self.status_code: int = told.pop("status_code")
        if (wait := told.get("retry_after_s")) is not None:
            self.wait = math.ceil(wait)  # DRF makes the header Retry-After of it
        told |= {"workflow_id": unfinished.workflow_id, "cost": SpentSerializer(unfinished.spent).data}
        # Set, not passed: DRF would turn each number into text.
        self.detail: Any = told


def _useless(error: AnswerError) -> dict[str, Any]:
    codes = {Refused: (422, "refused"), CutOff: (422, "cut_off")}
    status_code, code = codes.get(type(error), (502, "invalid_answer"))
    return {"status_code": status_code, "code": code, "detail": str(error), "retryable": status_code == 502}


def _failed(error: BaseException | None, provider: str) -> dict[str, Any]:
    problem = provider_problem(error) if error is not None else None
    if problem is None:
        raise TypeError("A run is unfinished for a reason of the provider's.") from error
    return {
        "status_code": 502,
        "code": "provider_error",
        "detail": problem.message,
        "provider": provider,
        "provider_status": problem.status,
        "retryable": problem.retryable,
        "retry_after_s": problem.retry_after_s,
    }
