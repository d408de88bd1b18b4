"""Runs one of our own views within its user's scope, whether or not `ScopeMiddleware` is installed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from usage_billing.tenancy.scope import scoped

View = Callable[..., HttpResponseBase]


def scoped_view(view: View) -> View:
    """Set `request.scope`, and let the database show only that scope until the response is rendered.

    A streaming response starts after the scope ends. Within the scope of `ScopeMiddleware` this does nothing.
    """

    @functools.wraps(view)
    def within_scope(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if getattr(request, "scope", None) is not None or not request.user.is_authenticated:
            return view(request, *args, **kwargs)
        with scoped(request.user) as scope:
            request.scope = scope  # type: ignore[attr-defined]
            response = view(request, *args, **kwargs)
            if callable(render := getattr(response, "render", None)):
                response = render()
        return response

    return within_scope
