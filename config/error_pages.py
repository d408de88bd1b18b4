"""What Django calls when an address leads nowhere, or a view fails: our own pages, and the API's own shape."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext

from usage_billing.pages import shell


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django passes it by this name
    """Of addresses outside the API, which answers for its own."""
    return shell.not_found(request, gettext("There is no such page."))


def server_error(request: HttpRequest) -> HttpResponse:
    """Asks nothing of the database: it may be what failed. Django has logged the error."""
    text = gettext("Something went wrong on our side, and was written to the log. Try again in a moment.")
    if request.path.startswith("/api/"):
        error = {"code": "server_error", "message": text, "details": {}}
        return JsonResponse({"success": False, "error": error}, status=500)
    context = {"title": gettext("Server error"), "text": text}
    return HttpResponse(render_to_string("usage_billing/server_error.html", context), status=500)
