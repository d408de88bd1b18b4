"""What the proxy itself answers when it does not pass a request on: an error in the provider's own shape."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.utils.translation import get_language_from_request

from ai_clients.proxy.headers import Headers, value_of
from ai_clients.proxy.providers import Provider

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}
"""Claude API, Errors: HTTP errors. All others are `api_error`."""
_OPENAI_TYPES = {401: "authentication_error", 429: "requests"}
"""OpenAI guide, Error codes. Others are `invalid_request_error`, and `server_error` from 500."""


class RefusedError(Exception):
    """A request that is answered by the proxy itself.

    code: a word for programs. message: says what to do. may_retry: whether the same request may pass later; the SDKs
    try again unless they are told not to (`x-should-retry`).
    """

    def __init__(
        self, status: int, code: str, message: str, *, may_retry: bool = False, retry_after_s: int = 0
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.may_retry = may_retry
        self.retry_after_s = retry_after_s


def language_of(headers: Headers) -> str:
    """Return the language of the errors that this client gets, as Django's `LocaleMiddleware` finds it."""
    request = HttpRequest()
    request.META["HTTP_ACCEPT_LANGUAGE"] = value_of(headers, b"accept-language").decode("latin-1")
    return get_language_from_request(request)


def answer_of(refused: RefusedError, provider: Provider | None) -> tuple[Headers, bytes]:
    """Return the headers and the body of an error. provider: None for an unknown one."""
    id_ = f"req_{uuid.uuid4().hex}"
    shape = _of_anthropic if provider is not None and provider.name == "anthropic" else _of_openai
    body = json.dumps(shape(refused, id_), ensure_ascii=False).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "x-request-id": id_,
        "request-id": id_,
    }
    if not refused.may_retry:
        headers["x-should-retry"] = "false"
    if refused.retry_after_s:
        headers["retry-after"] = str(refused.retry_after_s)
    return [(name.encode(), value.encode()) for name, value in headers.items()], body


def _of_openai(refused: RefusedError, _id: str) -> Mapping[str, Any]:
    otherwise = "invalid_request_error" if refused.status < 500 else "server_error"
    kind = _OPENAI_TYPES.get(refused.status, otherwise)
    return {"error": {"message": refused.message, "type": kind, "param": None, "code": refused.code}}


def _of_anthropic(refused: RefusedError, id_: str) -> Mapping[str, Any]:
    kind = _ANTHROPIC_TYPES.get(refused.status, "api_error")
    return {
        "type": "error",
        "error": {"type": kind, "message": refused.message, "code": refused.code},
        "request_id": id_,
    }
