"""Runs one of our own views within its user's scope, whether or not `ScopeMiddleware` is installed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from usage_billing.tenancy.scope import Scope, scoped

View = Callable[..., HttpResponseBase]


def scoped_view(view: View) -> View:
    """Set `request.usage_scope`, and let the database show only that scope until the response is rendered.

    (`request.scope` is Django's own under ASGI: the connection's.)
    A streaming response starts after the scope ends. Within the scope of `ScopeMiddleware` this does nothing.
    """

    @functools.wraps(view)
    def within_scope(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if known_scope(request) is not None or not request.user.is_authenticated:
            return view(request, *args, **kwargs)
        return answered_in_scope(view, request, *args, **kwargs)

    return within_scope


def scope_of_request(request: HttpRequest) -> Scope:
    """Return the scope that the request's view runs in."""
    return request.usage_scope  # type: ignore[attr-defined,no-any-return]  # set by `answered_in_scope`


def known_scope(request: HttpRequest) -> Scope | None:
    """Return the same; None in a view that runs in no scope."""
    return getattr(request, "usage_scope", None)


def answered_in_scope(view: View, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
    """Return the view's response, rendered within the scope of its user, which becomes `request.usage_scope`."""
    with scoped(request.user) as scope:
        request.usage_scope = scope  # type: ignore[attr-defined]
        response = view(request, *args, **kwargs)
        if callable(render := getattr(response, "render", None)):
            # A TemplateResponse of the admin reads the database while it renders.
            response = render()
    return response
