"""The differences between the two providers on HTTP: headers, keys and errors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ai_clients.simulator import errors, ids
from ai_clients.simulator.answers import JsonObject, RequestRefusedError


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider's habits; `error_body` takes the status, the refusal (or None) and the request's id."""

    request_id_header: str
    new_request_id: Callable[[], str]
    headers: Mapping[str, str]
    has_key: Callable[[Mapping[str, str]], bool]
    missing_key: str
    error_body: Callable[[int, RequestRefusedError | None, str], JsonObject]


def _has_bearer(headers: Mapping[str, str]) -> bool:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and bool(key.strip())


def _openai_error(status: int, refused: RequestRefusedError | None, _request_id: str) -> JsonObject:
    return errors.openai_body(status, refused)


OPENAI = Provider(
    request_id_header="x-request-id",
    new_request_id=ids.openai_request,
    headers={
        "openai-version": "2020-10-01",
        "openai-organization": "simulator",
        "openai-processing-ms": "1",
    },
    has_key=_has_bearer,
    missing_key=(
        "You didn't provide an API key. You need to provide your API key in an Authorization header "
        "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
    ),
    error_body=_openai_error,
)

ANTHROPIC = Provider(
    request_id_header="request-id",
    new_request_id=ids.anthropic_request,
    headers={"anthropic-organization-id": "00000000-0000-4000-8000-000000000000"},
    has_key=lambda headers: bool(headers.get("x-api-key")) or _has_bearer(headers),
    missing_key="x-api-key header is required",
    error_body=errors.anthropic_body,
)


def of_request(path: str, headers: Mapping[str, str]) -> Provider:
    """The provider of a request: by its prefix, and without one by the version header that Anthropic requires."""
    if path.startswith("/openai/"):
        return OPENAI
    if path.startswith(("/anthropic/", "/v1/messages")) or "anthropic-version" in headers:
        return ANTHROPIC
    return OPENAI
