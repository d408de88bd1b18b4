"""The error bodies of both providers, for refused requests, injected faults and broken streams."""

from typing import Any

from ai_clients.simulator import wire
from ai_clients.simulator.answers import JsonObject, RequestRefusedError

# "Error codes" of the OpenAI guide: status to message, type and code.
_OPENAI: dict[int, tuple[str, str, str | None]] = {
    400: ("Invalid request.", "invalid_request_error", None),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    403: (
        "You are not allowed to use this resource.",
        "invalid_request_error",
        "unsupported_country_region_territory",
    ),
    404: (
        "The model does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    ),
    405: ("Not allowed to use this method here.", "invalid_request_error", "method_not_supported"),
    409: (
        "The resource was updated by another request. Please try again.",
        "invalid_request_error",
        "conflict",
    ),
    422: ("The request could not be processed.", "invalid_request_error", None),
    429: ("Rate limit reached for requests. Please try again in 1ms.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request. Sorry about that!", "server_error", None),
    503: ("The engine is currently overloaded, please try again later.", "server_error", "server_overloaded"),
}

# "Errors" of the Claude API documentation: status to type and message.
_ANTHROPIC: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "Invalid request."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low to access the Claude API."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "Not Found"),
    405: ("invalid_request_error", "Method Not Allowed"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}


def openai_body(status: int, refused: RequestRefusedError | None) -> JsonObject:
    """`{"error": {"message", "type", "param", "code"}}`, in the words of `refused` when there is one."""
    message, kind, code = _OPENAI.get(status, _OPENAI[500] if status >= 500 else _OPENAI[400])
    if refused is None:
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return {"error": {"message": refused.message, "type": kind, "param": refused.param, "code": refused.code}}


def anthropic_body(status: int, refused: RequestRefusedError | None, request_id: str) -> JsonObject:
    """`{"type": "error", "error": {"type", "message"}, "request_id"}`, in the words of `refused` if given."""
    kind, message = _ANTHROPIC.get(status, _ANTHROPIC[500] if status >= 500 else _ANTHROPIC[400])
    error: dict[str, Any] = {"type": kind, "message": message if refused is None else refused.message}
    return {"type": "error", "error": error, "request_id": request_id}


def openai_stream_error(_place: int) -> bytes:
    """The error OpenAI's chat stream ends with: an event without a name."""
    return b"data: " + wire.json_bytes(openai_body(500, None)) + b"\n\n"


def openai_response_stream_error(place: int) -> bytes:
    """The `error` event of a streamed response; `place` is its sequence number."""
    error = openai_body(500, None)["error"]
    event = {"type": "error", "code": "server_error", "message": error["message"], "param": None}
    return wire.named_event("error", {**event, "sequence_number": place})


def openai_image_stream_error(_place: int) -> bytes:
    """The `error` event of a streamed image."""
    return wire.named_event("error", {"type": "error", **openai_body(500, None)})


def anthropic_stream_error(_place: int) -> bytes:
    """The `error` event of a streamed message: Anthropic reports an overload this way."""
    kind, message = _ANTHROPIC[529]
    return wire.named_event("error", {"type": "error", "error": {"type": kind, "message": message}})
