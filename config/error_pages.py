"""Pages for errors that no view answers, and the API's own shape for errors under `/api/`.

403 and 404 are pages of the shell. The others may come before the session was read, or because it cannot be read:
their page needs neither the request nor the database.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from usage_billing.pages import shell

BAD_REQUEST = _("The address or the form contains something that cannot be read. Check it and try again.")
EXPIRED = _(
    "It was opened too long ago, you have logged in or out since then, or your browser refuses cookies. Load the page "
    "of the form again and fill it in once more."
)
FORBIDDEN = _("Your account may not open this page. A superadmin can give you the permission.")
BROKEN = _("Something went wrong on our side, and was written to the log. Try again in a moment.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django passes it by this name
    return _plain(request, 400, "bad_request", _("Bad request"), BAD_REQUEST)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django has logged it
    return _plain(request, 403, "csrf_failed", _("The form has expired"), EXPIRED)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django passes it by this name
    if _is_of_api(request):
        return _for_programs(403, "permission_denied", FORBIDDEN)
    return shell.forbidden(request, str(FORBIDDEN))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django passes it by this name
    """Answer for addresses outside the API, which has its own answer (`config.api`)."""
    return shell.not_found(request, gettext("There is no such page."))


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer without a query: the database may have failed. Django has logged the error."""
    return _plain(request, 500, "server_error", _("Server error"), BROKEN)


def _plain(request: HttpRequest, status: int, code: str, title: str | Promise, text: str | Promise) -> HttpResponse:
    """Answer without the session, in the language of the request, which may not have been activated yet."""
    with translation.override(translation.get_language_from_request(request)):
        if _is_of_api(request):
            return _for_programs(status, code, text)
        page = render_to_string("usage_billing/error.html", {"title": title, "text": text})
        return HttpResponse(page, status=status)


def _is_of_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _for_programs(status: int, code: str, text: str | Promise) -> JsonResponse:
    error = {"code": code, "message": str(text), "details": {}}
    return JsonResponse({"success": False, "error": error}, status=status)
