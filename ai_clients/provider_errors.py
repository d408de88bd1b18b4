"""What the SDKs' errors mean for whoever asked. Never in the provider's words: they may quote a key or the prompt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.translation import gettext

RETRYABLE = (408, 409, 429)
"""Statuses below 500 that a later attempt may not meet."""


@dataclass(frozen=True)
class ProviderProblem:
    """message: for people. retryable: whether the same may succeed later; retry_after_s: in how many seconds."""

    message: str
    status: int | None
    retryable: bool
    retry_after_s: float | None = None


def provider_problem(error: BaseException) -> ProviderProblem | None:
    """What to say of an error of OpenAI's or Anthropic's SDK; None for any other error."""
    # Here, not above: an SDK takes most of a second to import.
    import anthropic
    import openai

    if isinstance(error, openai.APIStatusError | anthropic.APIStatusError):
        retryable = error.status_code in RETRYABLE or error.status_code >= 500
        wait = _retry_after_s(error.response.headers) if retryable else None
        return ProviderProblem(_message(error.status_code, retryable), error.status_code, retryable, wait)
    if isinstance(error, openai.APIConnectionError | anthropic.APIConnectionError):
        return ProviderProblem(_message(None, retryable=True), None, retryable=True)
    if isinstance(error, openai.OpenAIError | anthropic.AnthropicError):
        return ProviderProblem(_message(None, retryable=False), None, retryable=False)
    return None


def _message(status: int | None, retryable: bool) -> str:
    if status == 429:
        return gettext("The provider takes no more requests for now. Try again later.")
    if retryable:
        return gettext("The provider did not answer as it should. Try again later.")
    return gettext("The provider does not take our requests. Its key, the model or the account need attention.")


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`retry-after-ms`, or `retry-after` in seconds; of a date, which that may be instead, we make nothing."""
    try:
        seconds = (
            float(headers["retry-after-ms"]) / 1000 if "retry-after-ms" in headers else float(headers["retry-after"])
        )
    except (KeyError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
