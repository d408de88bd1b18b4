"""The entrance of pages that take forms: each has one address for superadmins and one for everybody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from usage_billing.pages import shell
from usage_billing.pages.page import OVERVIEW, address
from usage_billing.tenancy.scope import outside_scope
from usage_billing.tenancy.views import scoped_view

View = Callable[..., HttpResponseBase]


def entered(view: View, *, for_superadmin: bool) -> View:
    """Let superadmins in at their address and others at theirs, within the scope of the person."""
    return _for_people(scoped_view(_at_own_address(view, for_superadmin=for_superadmin)))


def entered_outside_scope(view: View, *, for_superadmin: bool) -> View:
    """The same for a view that talks to the outer world: it enters the scope itself, and leaves it before."""
    return outside_scope(_for_people(_at_own_address(view, for_superadmin=for_superadmin)))


def _for_people(view: View) -> View:
    return require_http_methods(["GET", "HEAD", "POST"])(never_cache(login_required(view)))


def _at_own_address(view: View, *, for_superadmin: bool) -> View:
    def answer(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if for_superadmin and not request.user.is_superuser:
            return shell.no_access(request)
        if request.user.is_superuser and not for_superadmin:
            return redirect(_superadmins_address(request))
        return view(request, **kwargs)

    return answer


def _superadmins_address(request: HttpRequest) -> str:
    own, superadmins = (address(OVERVIEW, for_superadmin=each).rstrip("/") for each in (False, True))
    query = request.META["QUERY_STRING"]
    return superadmins + request.path.removeprefix(own) + (f"?{query}" if query else "")
