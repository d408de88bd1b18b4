"""The Content-Security-Policy of each answer: strict, but for two parts that are not ours and cannot live with it."""

from __future__ import annotations

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase
from django.urls import resolve
from django.urls.exceptions import Resolver404

OF_THE_ADMIN = {
    "default-src": [SELF],
    # The theme's Alpine.js evaluates what stands in its own attributes (`x-data`), so markup that somebody smuggled in
    # could still run code: names must never become markup. None of the theme's scripts is inline, so no nonce is needed
    # for one: script elements with a text, handlers (`onclick`) and `javascript:` links are refused.
    "script-src": [SELF, UNSAFE_EVAL],
    # The theme has styles inline.
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
    "object-src": [NONE],
    "base-uri": [NONE],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
}
OF_THE_API_PAGE = {
    # Swagger UI sets styles inline, and its icons are data.
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
}


class ContentSecurityPolicy(CSPMiddleware):
    """What an answer says itself goes before what is said here."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if report_only or parts.config or parts.update or parts.replace:
            return parts
        match _place(request):
            case "admin":
                parts.config = dict(OF_THE_ADMIN)
            case "docs":
                parts.update = dict(OF_THE_API_PAGE)
        return parts


def _place(request: HttpRequest) -> str:
    """`admin`, `docs`, or nothing that needs another policy."""
    try:
        found = resolve(request.path_info)
    except Resolver404:
        return ""
    return "admin" if found.app_name == "admin" else "docs" if found.view_name == "docs" else ""
