"""Runs each view within its user's scope: the database shows the view only rows that the user may see."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import BadRequest
from django.db import DataError
from django.http import HttpRequest, HttpResponseBase

from usage_billing.tenancy.views import answered_in_scope

logger = logging.getLogger(__name__)


class ScopeMiddleware:
    """Place it last, after the authentication middleware.

    Three kinds of requests get no scope: views marked `outside_scope`, async views, and anonymous users. On PostgreSQL
    they see no tenant's rows unless they enter a scope themselves. A streaming response starts after the scope ends.
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
        with _unreadable_values_refused(request):
            return answered_in_scope(view, request, *args, **kwargs)


@contextmanager
def _unreadable_values_refused(request: HttpRequest) -> Iterator[None]:
    """Answer 400 instead of 500 when the admin receives an impossible number, date or text.

    Django's admin converts query parameters to column values without checking them (4,400 digits, NUL, the year 2^63).
    Its autocomplete fields do the same with a submitted form. The exception is logged with its traceback, because it
    may also come from a bug of ours.
    """
    try:
        yield
    except (ValueError, OverflowError, DataError) as error:
        found = request.resolver_match
        if found is None or "admin" not in found.app_names or not (request.GET or request.POST):
            raise
        logger.exception("Refused a request to the admin because of its values.")
        raise BadRequest("The request contains a value that cannot be read.") from error


def _takes_none(view: Callable[..., Any]) -> bool:
    if iscoroutinefunction(view) or getattr(view, "view_is_async", False):
        return True
    return any(getattr(part, "outside_scope", False) for part in (view, getattr(view, "cls", None)))
