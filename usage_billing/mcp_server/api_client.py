"""Reads the API, by HTTP or within this process, and tells its refusals as errors of a tool that say what to do."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
from mcp.server.mcpserver.exceptions import ToolError

from usage_billing.mcp_server.in_process import application, base_address

TOKEN, URL = "AI_COSTS_TOKEN", "AI_COSTS_URL"
TIMEOUT_S = 60.0
NEW_TOKEN = "`manage.py create_token --name NAME --org SLUG --scope read` makes one, and so does an owner on a page."  # noqa: S105

Query = Mapping[str, str | Sequence[str]]


class ConfigurationError(Exception):
    """Raised before the server starts; the text says which variable to set."""


class ApiClient:
    """Asks the API with one token: the answers are within that token's scope."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def close(self) -> None:
        self._client.close()

    def get(self, address: str, query: Query) -> Any:
        """Return the answer's `data`. `address`: below `/api/billing/`. Raises `ToolError`."""
        try:
            answer = self._client.get(f"api/billing/{address}", params=dict(query))
        except httpx2.HTTPError as error:
            raise ToolError(
                f"AI Costs at {self._client.base_url} does not answer ({type(error).__name__}: {error}). "
                f"Try again later; if it goes on, check {URL} and whether the service runs."
            ) from error
        body = _enveloped(answer)
        if body is None:
            raise ToolError(_not_our_api(answer))
        if answer.is_success:
            return body["data"]
        raise ToolError(_refusal(answer.status_code, body["error"]))


def from_environment(environment: Mapping[str, str] = os.environ) -> ApiClient:
    """Return a client for `AI_COSTS_URL`, without it for this process's own project. Raises `ConfigurationError`."""
    token = environment.get(TOKEN, "").strip()
    if not (token and token.isascii() and token.isprintable()):
        raise ConfigurationError(f"Set {TOKEN} to a service token with the scope `read`. {NEW_TOKEN}")
    url = environment.get(URL, "").strip()
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        raise ConfigurationError(f"{URL} is {url!r}. Set the service's address, such as https://costs.example.com.")
    return ApiClient(
        httpx2.Client(
            base_url=url or base_address(),
            transport=None if url else httpx2.WSGITransport(application()),
            # Errors are shown to a model, and the rest of what it reads is English.
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json", "Accept-Language": "en"},
            timeout=TIMEOUT_S,
        )
    )


def _enveloped(answer: httpx2.Response) -> Any:
    """The answer's body if our API sent it, else None."""
    try:
        body = answer.json()
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    is_ours = "data" in body if answer.is_success else isinstance(body.get("error"), dict)
    return body if is_ours else None


def _not_our_api(answer: httpx2.Response) -> str:
    if answer.is_redirect:
        # Not followed: the token is for one host.
        return f"{answer.url} sends to {answer.headers.get('Location')}. Set {URL} to the address it sends to."
    if answer.status_code >= 500:
        return f"AI Costs failed with {answer.status_code}. Try again later; the service's log has the reason."
    return (
        f"{answer.url} answered {answer.status_code}, and not as AI Costs does. "
        f"Set {URL} to the address of the service, without /api."
    )


def _refusal(status: int, error: Mapping[str, Any]) -> str:
    message, details = error.get("message", ""), error.get("details") or {}
    if status == 401:
        return f"{message} Set {TOKEN} to a valid token and start this server again. {NEW_TOKEN}"
    if status == 403:
        return f"{message} If the token lacks the scope `read`, use another one. {NEW_TOKEN}"
    if status == 429:
        return f"{message} Ask again in {details.get('retry_after_s', 60)} seconds."
    if isinstance(details, Mapping) and details:
        return " ".join([message, *(f"{name}: {_listed(problems)}" for name, problems in details.items())])
    return str(message)


def _listed(problems: Any) -> str:
    return " ".join(map(str, problems)) if isinstance(problems, list) else str(problems)
