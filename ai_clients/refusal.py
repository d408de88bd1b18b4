"""The answer to a call that a budget stops: the provider's own 429, so that the SDK raises its own error.

`x-should-retry: false` keeps both SDKs from trying again (SDK: `_base_client._should_retry`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import httpx2

from ai_clients.endpoints import MARK
from ai_clients.http_library import library_of
from usage_billing.recording.admission import BUDGET_EXCEEDED, Refusal
from usage_billing.recording.event import Flavour


def refused_response(request: httpx2.Request, flavour: Flavour, refusal: Refusal) -> httpx2.Response:
    """A response of the request's own library, which no server has sent."""
    request.extensions.pop(MARK, None)
    id_ = f"req_{uuid.uuid4().hex}"
    library: Any = library_of(request) or httpx2
    response: httpx2.Response = library.Response(
        429,
        headers={
            "content-type": "application/json",
            "x-should-retry": "false",
            "x-request-id": id_,
            "request-id": id_,
        },
        content=json.dumps(_body(flavour, refusal.message, id_), ensure_ascii=False).encode(),
        request=request,
    )
    return response


def is_of_budget(error: BaseException) -> bool:
    """Whether an SDK's error says that a budget has stopped the call."""
    body = getattr(error, "body", None)
    # OpenAI's SDK has the inner object there, Anthropic's the whole body.
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    return isinstance(inner, Mapping) and inner.get("code") == BUDGET_EXCEEDED


def _body(flavour: Flavour, message: str, id_: str) -> dict[str, Any]:
    """OpenAI guide, Error codes; Claude API, Errors: the shapes of their 429."""
    if flavour == "messages":
        return {
            "type": "error",
            "error": {"type": "rate_limit_error", "message": message, "code": BUDGET_EXCEEDED},
            "request_id": id_,
        }
    return {"error": {"message": message, "type": "insufficient_quota", "param": None, "code": BUDGET_EXCEEDED}}
