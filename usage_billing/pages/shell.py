"""Home page, log-in, error pages, and the text above the page that names its scope."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from usage_billing.api.export_slots import RETRY_AFTER_S
from usage_billing.conf import conf
from usage_billing.pages import saved_views
from usage_billing.tenancy.views import scope_of_request, scoped_view


@require_safe
@scoped_view
def home(request: HttpRequest) -> HttpResponse:
    """Lead to the person's start page: a view of their own, or the overview."""
    if not request.user.is_authenticated:
        return redirect("login")
    if start := saved_views.start_of(scope_of_request(request)):
        return redirect(saved_views.link_of(start, for_superadmin=request.user.is_superuser))
    return redirect("usage_billing:ai-costs" if request.user.is_superuser else "usage_billing:usage")


class LogIn(LoginView):
    template_name = "usage_billing/login.html"
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = {"title": gettext("Log in"), "may_reset": bool(conf.PUBLIC_URL)}
        return super().get_context_data(**kwargs) | context | (_demo() if settings.DEBUG else {})


def _demo() -> dict[str, Any]:
    """The accounts of the demo, where it was seeded: only with DEBUG, for their password is known."""
    from usage_billing.management import demo_data  # not needed in production

    known = {each.username: each for each in demo_data.logins()}
    users = get_user_model()
    there = users._default_manager.filter(**{f"{users.USERNAME_FIELD}__in": [*known]})
    names = set(there.values_list(users.USERNAME_FIELD, flat=True))
    logins = [each for name, each in known.items() if name in names]
    return {"demo_logins": logins, "demo_password": demo_data.PASSWORD}


@require_safe
def admin_log_in(request: HttpRequest) -> HttpResponse:
    """Lead to the log-in of the pages; a person who is logged in and no staff has no access to the admin."""
    if request.user.is_authenticated and not request.user.is_staff:
        return no_access(request)
    query = request.META["QUERY_STRING"]
    return redirect(reverse("login") + (f"?{query}" if query else ""))


def no_access(request: HttpRequest) -> HttpResponse:
    return render(request, "usage_billing/forbidden.html", {"title": gettext("No access")}, status=403)


def forbidden(request: HttpRequest, text: str) -> HttpResponse:
    return _refused(request, gettext("No access"), text, status=403)


def not_found(request: HttpRequest, text: str) -> HttpResponse:
    return _refused(request, gettext("Not found"), text, status=404)


def too_many_exports(request: HttpRequest, text: str) -> HttpResponse:
    response = _refused(request, gettext("Too many exports"), text, status=429)
    response["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _refused(request: HttpRequest, title: str, text: str, *, status: int) -> HttpResponse:
    return render(request, "usage_billing/refused.html", {"title": title, "text": text}, status=status)
