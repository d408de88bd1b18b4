"""Runs a view of the product's own within the scope of its user, whether or not `ScopeMiddleware` is installed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from usage_billing.tenancy.scope import scoped

View = Callable[..., HttpResponseBase]


def scoped_view(view: View) -> View:
    """Set `request.scope`, and have the database show the view no more than that, until its answer is rendered.

    A streamed answer begins when the scope has ended. Within `ScopeMiddleware`'s scope nothing is added.
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
