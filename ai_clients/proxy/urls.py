"""The addresses of the proxy under WSGI, where a server may hold an answer back until it is complete: it says so."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from ai_clients.proxy.errors import RefusedError, answer_of
from ai_clients.proxy.providers import PREFIX, PROVIDERS
from usage_billing.tenancy.scope import outside_scope


@csrf_exempt
@outside_scope
def not_served(_request: HttpRequest, provider: str = "", **_kwargs: Any) -> HttpResponse:
    refused = RefusedError(
        501,
        "proxy_not_served_here",
        _(
            "This server does not serve the proxy: it needs ASGI. Start `uvicorn config.asgi:application`, or "
            "`manage.py run_proxy`, and send what comes below %(prefix)s there: docs/proxy.md, How it is served."
        )
        % {"prefix": PREFIX},
    )
    headers, body = answer_of(refused, PROVIDERS.get(provider))
    named = {name.decode(): value.decode() for name, value in headers}
    return HttpResponse(body, status=refused.status, headers=named)


urlpatterns = [re_path(r"^(?P<provider>\w*)(?:/.*)?$", not_served, name="proxy")]
