"""Attributes the AI calls of a Django request to its user; the ledger adds the user's organisation."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils.decorators import sync_and_async_middleware
from django.utils.functional import SimpleLazyObject

from usage_billing.recording import drain_signal
from usage_billing.recording.context import request_user


@sync_and_async_middleware
def UsageContextMiddleware(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """Attribute the calls of everything below this middleware; place it after the authentication middleware.

    It also wakes the drain thread, so that a restarted server drains the events that its predecessor left.
    """
    if iscoroutinefunction(get_response):

        async def attribute_async(request: HttpRequest) -> HttpResponseBase:
            drain_signal.wake()
            # Loaded here: a coroutine that makes a call cannot read the session any more.
            session_user = await request.auser() if hasattr(request, "auser") else None

            def user_id() -> Any:
                user = getattr(request, "user", None)
                return getattr(session_user if isinstance(user, SimpleLazyObject) else user, "pk", None)

            with request_user(user_id):
                return _streamed_too(await get_response(request), user_id)

        return attribute_async

    def attribute(request: HttpRequest) -> HttpResponseBase:
        drain_signal.wake()

        def user_id() -> Any:
            # Read when a call is made: it is lazy, and JWT authentication replaces it inside the view.
            return getattr(getattr(request, "user", None), "pk", None)

        with request_user(user_id):
            return _streamed_too(get_response(request), user_id)

    return attribute


def _streamed_too(response: HttpResponseBase, user_id: Callable[[], Any]) -> HttpResponseBase:
    """Attribute the calls of a streaming response too: it makes them after the middleware has returned."""
    if isinstance(response, StreamingHttpResponse):
        chunks = response.streaming_content
        if isinstance(chunks, AsyncIterator):
            response.streaming_content = _attributed_async(chunks, user_id)
        else:
            response.streaming_content = _attributed(iter(chunks), user_id)
    return response


def _attributed(chunks: Iterator[bytes], user_id: Callable[[], Any]) -> Iterator[bytes]:
    # The context is entered outside of this generator: then it is certain that it ends before the generator yields.
    def next_chunk() -> bytes | None:
        with request_user(user_id):
            return next(chunks, None)

    return iter(next_chunk, None)


async def _attributed_async(chunks: AsyncIterator[bytes], user_id: Callable[[], Any]) -> AsyncIterator[bytes]:
    async def next_chunk() -> bytes | None:
        with request_user(user_id):
            return await anext(chunks, None)

    while (chunk := await next_chunk()) is not None:
        yield chunk
