"""Calls of a Django request are charged to its user, also when the answer is streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from tests.support import factories
from usage_billing.recording import current_attribution, usage_context
from usage_billing.recording.middleware import UsageContextMiddleware

pytestmark = pytest.mark.django_db


def request_of(user: Any) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = user
    return request


def charged_user() -> Any:
    return current_attribution().user_id


def test_a_call_in_a_view_is_charged_to_the_user() -> None:
    person = factories.user()
    seen: list[Any] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(charged_user())
        with usage_context(user=42):
            seen.append(charged_user())
        return HttpResponse()

    middleware: Any = UsageContextMiddleware(view)
    middleware(request_of(person))
    assert seen == [person.pk, 42]
    assert charged_user() is None


def test_a_user_who_logs_in_inside_the_view_is_charged() -> None:
    person = factories.user()
    seen: list[Any] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(charged_user())
        request.user = person
        seen.append(charged_user())
        return HttpResponse()

    middleware: Any = UsageContextMiddleware(view)
    middleware(request_of(AnonymousUser()))
    assert seen == [None, person.pk]


def test_the_user_is_not_looked_up_by_a_view_that_calls_nothing() -> None:
    def load() -> Any:
        raise AssertionError("nobody asked")

    middleware: Any = UsageContextMiddleware(lambda request: HttpResponse("fine"))
    assert middleware(request_of(SimpleLazyObject(load))).content == b"fine"


def test_a_user_who_cannot_be_looked_up_costs_no_record(caplog: pytest.LogCaptureFixture) -> None:
    def load() -> Any:
        raise RuntimeError("the session's database is away")

    middleware: Any = UsageContextMiddleware(lambda request: HttpResponse(str(charged_user())))
    assert middleware(request_of(SimpleLazyObject(load))).content == b"None"
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_calls_of_a_streamed_answer_are_charged_to_the_user() -> None:
    person = factories.user()

    def chunks() -> Iterator[str]:
        yield str(charged_user())
        yield f" {charged_user()}"

    middleware: Any = UsageContextMiddleware(lambda request: StreamingHttpResponse(chunks()))
    response = middleware(request_of(person))
    assert b"".join(response) == f"{person.pk} {person.pk}".encode()
    assert charged_user() is None


def test_calls_of_an_asynchronous_view_and_stream_are_charged_to_the_session_user() -> None:
    person = factories.user()
    seen: list[Any] = []

    async def chunks() -> AsyncIterator[str]:
        yield str(charged_user())

    async def view(request: HttpRequest) -> StreamingHttpResponse:
        seen.append(charged_user())
        return StreamingHttpResponse(chunks())

    async def serve() -> bytes:
        request = RequestFactory().get("/")
        request.session = SessionStore()
        not_in_a_coroutine: Any = SimpleLazyObject(lambda: pytest.fail("a coroutine cannot read the session"))
        request.user = not_in_a_coroutine

        async def auser() -> Any:
            return person

        request.auser = auser
        middleware: Any = UsageContextMiddleware(view)
        response = await middleware(request)
        return b"".join([chunk async for chunk in response])

    assert async_to_sync(serve)() == str(person.pk).encode()
    assert seen == [person.pk]
