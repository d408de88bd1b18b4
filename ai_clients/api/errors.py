"""How the API says that a run came to nothing.

422 where it is the text: refused, or too long to be answered in full. Sending it again is of no use.
502 where it is the provider: an error of its own, or an answer that is not what was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from django.utils.translation import gettext
from rest_framework.exceptions import APIException

from ai_clients.api.serializers import SpentSerializer
from ai_clients.runs import Unfinished
from ai_clients.structured import AnswerError, CutOff, Refused

RETRYABLE = (408, 409, 429)


class RunFailed(APIException):
    """A run that came to nothing, with what it cost; `details` tell where a retry makes sense, and when."""

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
    """The provider's status and code, never its text: that may quote a key or the prompt."""
    response = getattr(error, "response", None)
    status: int | None = getattr(error, "status_code", None)
    wait = None if response is None else retry_after_s(response.headers, datetime.now(UTC))
    # Without a status the connection failed or took too long; without a request there was no key to make one with.
    retryable = hasattr(error, "request") if status is None else status in RETRYABLE or status >= 500
    return {
        "status_code": 502,
        "code": "provider_error",
        "detail": _message(status, retryable),
        "provider": provider,
        "provider_status": status,
        "retryable": retryable,
        "retry_after_s": wait if retryable else None,
    }


def _message(status: int | None, retryable: bool) -> str:
    if status == 429:
        return gettext("The provider takes no more requests for now. Try again later.")
    if retryable:
        return gettext("The provider did not answer as it should. Try again later.")
    return gettext("The provider does not take our requests. Its key, the model or the account need attention.")


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """How long the provider asks to wait, in seconds: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    for name, in_a_second in (("retry-after-ms", 1000), ("retry-after", 1)):
        with suppress(KeyError, ValueError):
            return _sensible(float(headers[name]) / in_a_second)
    # A date without a zone cannot be compared: TypeError.
    with suppress(KeyError, ValueError, TypeError):
        return _sensible((parsedate_to_datetime(headers["retry-after"]) - now).total_seconds())
    return None


def _sensible(seconds: float) -> float | None:
    return max(0.0, round(seconds, 3)) if math.isfinite(seconds) else None
