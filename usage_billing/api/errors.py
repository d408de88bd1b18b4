"""Errors of the API: `{"success": false, "error": {"code", "message", "details"}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError, Throttled
from rest_framework.response import Response
from rest_framework.views import exception_handler as default_exception_handler

from usage_billing.auth.request_throttling import count_refusal


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an error of DRF with a `code` for programs, a `message` for people, and `details` by field."""
    if isinstance(error, SuspiciousOperation):
        # Such as a thousand parameters: Django would answer with a page of its own.
        error = ParseError()
    error = count_refusal(error, context)
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
