"""The ASGI application: URLs, keys, injected faults and error bodies around the endpoints."""

import asyncio
import gzip
import json
import logging
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ai_clients.simulator import (
    anthropic_messages,
    faults,
    misanswers,
    models,
    openai_chat,
    openai_embeddings,
    openai_images,
    openai_responses,
    providers,
    wire,
)
from ai_clients.simulator.answers import Answer, JsonObject, RequestRefusedError, Streamed
from ai_clients.simulator.event_stream import EventStream
from ai_clients.simulator.faults import Faults
from ai_clients.simulator.providers import Provider

_log = logging.getLogger(__name__)

Endpoint = Callable[[JsonObject], Answer]
"""Takes the request's JSON body (for a GET its path parameters) and answers or raises `RequestRefusedError`."""


def _models(request: Request) -> Endpoint:
    is_anthropic = providers.of_request(request.scope["path"], request.headers) is providers.ANTHROPIC
    return models.answer_anthropic if is_anthropic else models.answer_openai


_ENDPOINTS: list[tuple[str, str, str, Endpoint]] = [
    ("openai", "POST", "chat/completions", openai_chat.answer),
    ("openai", "POST", "responses", openai_responses.answer),
    ("openai", "GET", "responses/{response_id}", openai_responses.answer_stored),
    ("openai", "POST", "embeddings", openai_embeddings.answer),
    ("openai", "POST", "images/generations", openai_images.answer),
    ("anthropic", "POST", "messages", anthropic_messages.answer),
    ("anthropic", "POST", "messages/count_tokens", anthropic_messages.answer_count),
]


def _handler(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        return await _serve(request, endpoint)

    return handle


async def _handle_models(request: Request) -> Response:
    return await _serve(request, _models(request))


async def _handle_unroutable(request: Request, error: Exception) -> Response:
    """An unknown path or a wrong method, in the provider's own words."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    message = f"Invalid URL ({request.method} {request.url.path})"
    provider = providers.of_request(request.scope["path"], request.headers)
    refused = RequestRefusedError(message) if provider is providers.OPENAI else None
    return _error(provider, provider.new_request_id(), status, refused)


async def _serve(request: Request, endpoint: Endpoint) -> Response:
    provider = providers.of_request(request.scope["path"], request.headers)
    request_id = provider.new_request_id()
    try:
        wanted = faults.read(request.headers)
        if wanted.delay_ms:
            await asyncio.sleep(wanted.delay_ms / 1000)
        if wanted.status != 200:
            return _error(provider, request_id, wanted.status, None)
        if not provider.has_key(request.headers):
            raise RequestRefusedError(provider.missing_key, status=401)
        asked = await _json_body(request) if request.method == "POST" else request.path_params
        return _answered(endpoint(asked), wanted, provider, request_id)
    except RequestRefusedError as refused:
        return _error(provider, request_id, refused.status, refused)
    except Exception:  # noqa: BLE001 - a defect of the simulator is answered as a server error, and logged
        _log.exception("The simulator failed on %s %s", request.method, request.url.path)
        return _error(provider, request_id, 500, None)


def _answered(answer: Answer, wanted: Faults, provider: Provider, request_id: str) -> Response:
    headers = {**provider.headers, provider.request_id_header: request_id}
    if isinstance(answer, Streamed):
        return EventStream(answer, wanted, headers)
    body = _bent(answer.body, wanted)
    if wanted.is_gzipped:
        body = gzip.compress(body)
        headers["content-encoding"] = "gzip"
    return Response(body, headers=headers, media_type="application/json")


def _bent(body: bytes, wanted: Faults) -> bytes:
    if wanted.text is not None:
        body = misanswers.with_text(body, wanted.text)
    if wanted.answer == "refused":
        return misanswers.refused(body)
    return misanswers.cut_off(body) if wanted.answer == "cut-off" else body


async def _json_body(request: Request) -> JsonObject:
    try:
        asked = json.loads(await request.body())
    except ValueError as error:
        raise RequestRefusedError(f"We could not parse the JSON body of your request: {error}") from error
    if not isinstance(asked, dict):
        raise RequestRefusedError("The body of your request must be a JSON object.")
    return asked


def _error(provider: Provider, request_id: str, status: int, refused: RequestRefusedError | None) -> Response:
    return Response(
        wire.json_bytes(provider.error_body(status, refused, request_id)),
        status_code=status,
        # One millisecond, so that an SDK that retries does so at once.
        headers={**provider.headers, provider.request_id_header: request_id, "retry-after-ms": "1"},
        media_type="application/json",
    )


def _routes() -> list[Route]:
    # With the provider's prefix and without, so that a base URL of another server's form works as well.
    routes = [
        Route(prefix + path, _handler(endpoint), methods=[method])
        for provider, method, path, endpoint in _ENDPOINTS
        for prefix in (f"/{provider}/v1/", "/v1/")
    ]
    prefixes = ("/openai/v1/", "/anthropic/v1/", "/v1/")
    return routes + [Route(prefix + "models", _handle_models, methods=["GET"]) for prefix in prefixes]


app = Starlette(routes=_routes(), exception_handlers={404: _handle_unroutable, 405: _handle_unroutable})
