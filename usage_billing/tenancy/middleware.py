"""A view runs within the scope of the person who asks: the database shows it no more than they may see."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import BadRequest
from django.db import DataError
from django.http import HttpRequest, HttpResponseBase

from usage_billing.tenancy.scope import scoped

logger = logging.getLogger(__name__)


class ScopeMiddleware:
    """Place it last, after the authentication middleware.

    A view that is marked `outside_scope`, an async one, or one of an anonymous person gets no scope: on PostgreSQL
    there are no tenants' rows for it, until it takes a scope itself. A streamed answer begins when the scope has ended.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        if _takes_none(view) or not request.user.is_authenticated:
            return None
        with _unreadable_values_refused(request), scoped(request.user) as scope:
            request.scope = scope  # type: ignore[attr-defined]
            response = view(request, *args, **kwargs)
            if callable(render := getattr(response, "render", None)):
                # The admin's answers read the database as they are rendered.
                response = render()
        return response  # type: ignore[no-any-return]


@contextmanager
def _unreadable_values_refused(request: HttpRequest) -> Iterator[None]:
    """Answer 400, and not 500, where the admin is sent what is no number, date or text that there can be.

    Django's admin turns the query into values of the columns without a check (4,400 digits, NUL, the year 2^63), and so
    do its autocomplete fields with a form that they show again. What fails is logged with its traceback: it may be an
    error of ours all the same.
    """
    try:
        yield
    except (ValueError, OverflowError, DataError) as error:
        found = request.resolver_match
        if found is None or "admin" not in found.app_names or not (request.GET or request.POST):
            raise
        logger.exception("A request to the admin was refused for its values.")
        raise BadRequest("What was sent cannot be read.") from error


def _takes_none(view: Callable[..., Any]) -> bool:
    if iscoroutinefunction(view) or getattr(view, "view_is_async", False):
        return True
    return any(getattr(part, "outside_scope", False) for part in (view, getattr(view, "cls", None)))
