"""How the API says what is wrong: `{"success": false, "error": {"code", "message", "details"}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError, Throttled
from rest_framework.response import Response
from rest_framework.views import exception_handler as default_exception_handler

from usage_billing.auth.request_throttling import instead_of


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's errors with a `code` that programs can go by, a `message` for people, and `details` by field."""
    if isinstance(error, SuspiciousOperation):
        # A thousand parameters, say: Django would answer with a page of its own.
        error = ParseError()
    error = instead_of(error, context)
    response = default_exception_handler(error, context)
    if response is None:
        return None
    detail: Any = response.data
    details: Any
    if isinstance(detail, Mapping) and "detail" in detail:
        message, details = (
            str(detail["detail"]),
            {key: value for key, value in detail.items() if key not in ("detail", "code")},
        )
        code = str(detail.get("code") or getattr(detail["detail"], "code", "error"))
    else:
        message, code = _("Some of what you sent is not valid; see the details."), "invalid"
        details = detail if isinstance(detail, Mapping) else {"non_field_errors": detail}
    if isinstance(error, Throttled):
        details = {**details, "retry_after_s": getattr(error, "wait", None)}
    response.data = {"success": False, "error": {"code": code, "message": message, "details": details}}
    return response
