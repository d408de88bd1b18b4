"""Explains the SDKs' errors to people. Never in the provider's words, which may quote a key or the prompt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from django.utils.translation import gettext

from ai_clients.refusal import is_of_budget

RETRYABLE = (408, 409, 429)
"""Statuses below 500 after which a later attempt may succeed."""


@dataclass(frozen=True)
class ProviderProblem:
    """message: for people. status: the provider's, None if it did not answer. retryable: whether the same may succeed
    later; retry_after_s: in how many seconds, if the provider said so.
    """

    message: str
    status: int | None
    retryable: bool
    retry_after_s: float | None = None


def provider_problem(error: BaseException) -> ProviderProblem | None:
    """The problem behind an error of OpenAI's or Anthropic's SDK; None for any other error."""
    # Imported here: an SDK takes most of a second to import.
    import anthropic
    import openai

    if is_of_budget(error):
        message = gettext("A budget of your organisation is used up. Ask its owner for a higher limit.")
        return ProviderProblem(message, 429, retryable=False)
    if isinstance(error, openai.APIStatusError | anthropic.APIStatusError):
        retryable = error.status_code in RETRYABLE or error.status_code >= 500
        wait = retry_after_s(error.response.headers, datetime.now(UTC)) if retryable else None
        return ProviderProblem(_message(error.status_code, retryable), error.status_code, retryable, wait)
    if isinstance(error, openai.APIError | anthropic.APIError):
        return ProviderProblem(_message(None, retryable=True), None, retryable=True)
    if isinstance(error, openai.OpenAIError | anthropic.AnthropicError):
        # No request was sent: there is no key.
        return ProviderProblem(_message(None, retryable=False), None, retryable=False)
    return None


def _message(status: int | None, retryable: bool) -> str:
    if status == 429:
        return gettext("The provider takes no more requests for now. Try again later.")
    if retryable:
        return gettext("The provider did not answer as it should. Try again later.")
    return gettext("The provider refuses our requests. Check the key, the model and the account.")


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
