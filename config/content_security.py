"""The Content-Security-Policy: strict, except for the admin's theme and the API's page."""

from __future__ import annotations

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase
from django.urls import resolve
from django.urls.exceptions import Resolver404

ADMIN_POLICY = {
    "default-src": [SELF],
    # The theme's Alpine.js evaluates its attributes (`x-data`), so injected markup could still run code: names must
    # never become markup. The theme has no inline scripts, so script elements with text, handlers (`onclick`) and
    # `javascript:` links are refused without a nonce.
    "script-src": [SELF, UNSAFE_EVAL],
    # The theme has styles inline.
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
    "object-src": [NONE],
    "base-uri": [NONE],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
}
API_PAGE_POLICY = {
    # Swagger UI sets styles inline, and its icons are data.
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
}


class ContentSecurityPolicy(CSPMiddleware):
    """A policy that the view sets itself takes precedence."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if report_only or parts.config or parts.update or parts.replace:
            return parts
        match _place(request):
            case "admin":
                parts.config = dict(ADMIN_POLICY)
            case "docs":
                parts.update = dict(API_PAGE_POLICY)
        return parts


def _place(request: HttpRequest) -> str:
    """Return `admin`, `docs`, or an empty text for the strict policy."""
    try:
        found = resolve(request.path_info)
    except Resolver404:
        return ""
    return "admin" if found.app_name == "admin" else "docs" if found.view_name == "docs" else ""
