"""The proxy as an ASGI application of its own: `config.asgi` sends it what comes below `/proxy/`.

Django's middlewares do not run for it: they cost a request 4 ms and more (here 0.03 ms, measured side by side until a
refusal), and one of them is synchronous, so that each request would hold a thread until the provider begins to answer.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

import anyio
import httpx2
from django.utils.translation import gettext as _
from django.utils.translation import override

from ai_clients.endpoints import MARK, Mark, endpoint_of
from ai_clients.proxy import bounds, models
from ai_clients.proxy.attribution import ORG, USER, attribution_of, told_by
from ai_clients.proxy.credentials import Credentials, token_in
from ai_clients.proxy.errors import RefusedError, answer_of, language_of
from ai_clients.proxy.headers import Headers, to_provider, value_of
from ai_clients.proxy.passing import PassedAnswer, Send
from ai_clients.proxy.providers import PREFIX, PROVIDERS, Destination, Provider
from ai_clients.proxy.upstream import new_client
from usage_billing.conf import conf
from usage_billing.recording.context import restored

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

LARGE_BODY = 256 * 1024
_PATH = re.compile(rf"{PREFIX}(\w+)(/v1/.+)")


class ClientGoneError(Exception):
    """The client hung up before it had sent its request."""


class Proxy:
    """The ASGI application. It belongs to one event loop."""

    def __init__(self) -> None:
        self._credentials = Credentials()
        self._client: httpx2.AsyncClient | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        headers: Headers = scope["headers"]
        provider = PROVIDERS.get(scope["path"].removeprefix(PREFIX).partition("/")[0])
        with override(language_of(headers)):
            try:
                if scope["type"] == "websocket" or value_of(headers, b"upgrade").lower() == b"websocket":
                    raise _not_for_websockets()
                await self._answer(scope, receive, send)
            except RefusedError as refused:
                await _send_refusal(refused, provider, scope, send)
            except ClientGoneError:
                return

    async def aclose(self) -> None:
        """Close the connections to the providers."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        """Check the request and pass it on. Raises `RefusedError` for one that no provider gets to see."""
        provider, path = _provider_and_path(scope)
        headers: Headers = scope["headers"]
        token = token_in(headers)
        program = await self._credentials.program(token)
        await self._credentials.count(program)
        told = told_by(headers)
        org_id = await self._credentials.organization(program, told.get(ORG, ""))
        user_key = await self._credentials.user(program, org_id, told.get(USER, ""))
        attribution = attribution_of(told, program, org_id, user_key)
        body = await _body(headers, receive)
        destination = await self._credentials.destination(provider, org_id)
        bounds.check(scope["method"], path.removeprefix("/v1"), is_shared=destination.is_shared)
        request = _request(scope, path, body, provider, destination, token)
        if program.allowed_models:
            check = functools.partial(_check_models, program.allowed_models, scope, path, body, request)
            if len(body) < LARGE_BODY:
                check()
            else:
                await asyncio.to_thread(check)  # reading it takes a while, and other streams go on
        answer = PassedAnswer(send, provider, destination.secret)
        with restored(attribution):
            await _until_gone(receive, self._passed(answer, request))

    async def _passed(self, answer: PassedAnswer, request: httpx2.Request) -> RefusedError | None:
        if self._client is None:
            self._client = new_client()
        try:
            await answer.fetch(self._client, request)
        except RefusedError as refused:
            return refused
        except httpx2.TransportError:
            return None  # the server cuts the client's connection, which tells it that the provider broke off
        return None


async def _until_gone(receive: Receive, passing: Any) -> None:
    """Run `passing` until its end, or until the client hangs up. Raises the `RefusedError` that it returns."""
    refused: RefusedError | None = None

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        refused = await passing
        group.cancel_scope.cancel()
    if refused is not None:
        raise refused


def _provider_and_path(scope: Message) -> tuple[Provider, str]:
    """The provider, and the decoded path below its address."""
    found = _PATH.fullmatch(scope["path"])
    provider = PROVIDERS.get(found[1]) if found else None
    if found is None or provider is None or ".." in unquote(found[2]).split("/"):
        raise _no_address()
    return provider, found[2]


def _no_address() -> RefusedError:
    return RefusedError(
        404,
        "address_not_known",
        _("There is no such address. The proxy answers below %(addresses)s.")
        % {"addresses": ", ".join(f"{PREFIX}{name}/v1/" for name in PROVIDERS)},
    )


async def _body(headers: Headers, receive: Receive) -> bytes:
    """Return the request's body. Raises `RefusedError` if it is too large, and `ClientGoneError`."""
    most = conf.PROXY_MAX_BODY_MB * 2**20
    length = value_of(headers, b"content-length")
    if length.isdigit() and int(length) > most:
        raise _too_large()
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > most:
            raise _too_large()
        if not message.get("more_body"):
            return b"".join(pieces)


def _request(
    scope: Message, path: str, body: bytes, provider: Provider, destination: Destination, token: str
) -> httpx2.Request:
    """The request to the provider, marked to be recorded."""
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    below = raw_path.partition(b"?")[0].removeprefix(f"{PREFIX}{provider.name}".encode())
    query: bytes = scope.get("query_string", b"")
    if not below.startswith(b"/v1/"):
        raise _no_address()  # an encoded slash: what follows it would be read as a part of the provider's host
    if token.encode("latin-1") in below + query:
        raise RefusedError(400, "token_in_address", _("Send the service token as the key, never in the address."))
    try:
        url = httpx2.URL(destination.url + below.decode("ascii") + (f"?{query.decode('latin-1')}" if query else ""))
    except (UnicodeDecodeError, httpx2.InvalidURL) as error:
        raise _no_address() from error
    own = httpx2.URL(destination.url)
    if (url.scheme, url.netloc, url.userinfo) != (own.scheme, own.netloc, own.userinfo):
        raise _no_address()  # the key goes to the provider alone
    headers = [*to_provider(scope["headers"], token.encode("latin-1")), provider.key_header(destination.secret)]
    content = body if body or scope["method"] in ("POST", "PUT", "PATCH") else None
    request = httpx2.Request(scope["method"], url, headers=headers, content=content)
    request.extensions[MARK] = Mark(path)
    return request


def _check_models(allowed: tuple[str, ...], scope: Message, path: str, body: bytes, request: httpx2.Request) -> None:
    url = request.url
    endpoint = endpoint_of(request.method, url.raw_scheme, url.raw_host, url.port, url.raw_path, Mark(path))
    models.check(
        allowed,
        method=request.method,
        path=path.removeprefix("/v1"),
        query=scope.get("query_string", b""),
        headers={name.lower(): value for name, value in scope["headers"]},
        body=body,
        endpoint=endpoint,
    )


async def _send_refusal(refused: RefusedError, provider: Provider | None, scope: Message, send: Send) -> None:
    headers, body = answer_of(refused, provider)
    kind = "http.response"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})
            return
        kind = "websocket.http.response"
    await send({"type": f"{kind}.start", "status": refused.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


def _too_large() -> RefusedError:
    message = _("The request has more than %(most)d MB. PROXY_MAX_BODY_MB sets the limit.")
    return RefusedError(413, "request_too_large", message % {"most": conf.PROXY_MAX_BODY_MB})


def _not_for_websockets() -> RefusedError:
    return RefusedError(
        501,
        "websockets_not_supported",
        _("The proxy passes no websockets on (Realtime). Call the provider itself, with the recording client."),
    )
