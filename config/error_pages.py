"""Handlers of 404 and 500: pages, and the API's own shape for errors under `/api/`."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext

from usage_billing.pages import shell


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django passes it by this name
    """Answer for addresses outside the API, which has its own answer (`config.api`)."""
    return shell.not_found(request, gettext("There is no such page."))


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer without a query: the database may have failed. Django has logged the error."""
    text = gettext("Something went wrong on our side, and was written to the log. Try again in a moment.")
    if request.path.startswith("/api/"):
        error = {"code": "server_error", "message": text, "details": {}}
        return JsonResponse({"success": False, "error": error}, status=500)
    context = {"title": gettext("Server error"), "text": text}
    return HttpResponse(render_to_string("usage_billing/server_error.html", context), status=500)
