"""Completes the OpenAPI schema: envelopes, errors of each endpoint, and links between answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_bearer_security_scheme_object
from drf_spectacular.utils import OpenApiResponse

ERROR = {
    "type": "object",
    "required": ["success", "error"],
    "additionalProperties": False,
    "properties": {
        "success": {"type": "boolean", "enum": [False]},
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string", "description": "A stable code for programs.", "examples": ["invalid"]},
                "message": {"type": "string", "description": "A text for people, in their language."},
                "details": {
                    "type": "object",
                    "description": "Problems by parameter or field.",
                    "examples": [{"days": ["A valid integer is required."]}],
                },
            },
        },
    },
}
_ERROR_SCHEMA = {"$ref": "#/components/schemas/Error"}


def refusal(description: str) -> OpenApiResponse:
    """Describe an error of one endpoint, for `extend_schema`."""
    return OpenApiResponse(_ERROR_SCHEMA, description=description)


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes `Authorization: Bearer`."""

    target_class = "usage_billing.auth.tokens.TokenAuthentication"
    name = "jwtAuth"

    def get_security_definition(self, auto_schema: AutoSchema) -> Any:
        return build_bearer_security_scheme_object("Authorization", "Bearer", "JWT")


_ON_FILTERS = (
    "Filters are repeated for several values, `agent_id=a&agent_id=b`, and a name that ends with `!` excludes values,"
    " `agent_id!=a`. `tag.<key>=<value>` filters by a tag in the same ways; an empty value stands for calls without the"
    " tag. All filters must hold."
)


class ReportSchema(AutoSchema):
    """Describes a `ReportView` by its `query` and `answer`."""

    def get_operation_id(self) -> str:
        return "usage_" + self.path.strip("/").rsplit("/", 1)[-1].replace("-", "_")

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular declares it
        return f"{super().get_description()}\n\n{_ON_FILTERS}"

    def get_override_parameters(self) -> Any:
        return [self.view.query]  # type: ignore[attr-defined]  # a ReportView

    def get_response_serializers(self) -> Any:
        return self.view.answer  # type: ignore[attr-defined]


_JSON = "application/json"
_ERRORS = {
    "400": "A parameter or field is not valid; `details` names it.",
    "401": "No token, or an invalid one.",
    "403": "The caller may not do this.",
    "404": "It does not exist, or the caller may not see it.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "429": "Too many requests; `Retry-After` gives the seconds to wait.",
}
_SEND = "post", "put", "patch"
_METHODS = ("get", "delete", *_SEND)

Operation = dict[str, Any]


def as_answered(result: dict[str, Any], **_options: Any) -> dict[str, Any]:
    """Add envelopes, errors and links. A postprocessing hook of drf-spectacular."""
    result["paths"] = {path.rstrip("/"): operations for path, operations in result["paths"].items()}
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in schemas.items():
        if not name.endswith("Request"):
            _say_exactly(schema)
    schemas["Error"] = ERROR
    for method, operation in _operations(result):
        for status, response in operation["responses"].items():
            if status.startswith("2") and _JSON in response.get("content", {}):
                _envelop(response["content"][_JSON])
        for status in _errors_of(method, operation):
            operation["responses"].setdefault(
                status, {"description": _ERRORS[status], "content": {_JSON: {"schema": _ERROR_SCHEMA}}}
            )
        if links := LINKS.get(operation["operationId"]):
            operation["responses"]["200"]["links"] = links
    return result


def _operations(result: dict[str, Any]) -> Iterator[tuple[str, Operation]]:
    for operations in result["paths"].values():
        yield from ((method, operation) for method, operation in operations.items() if method in _METHODS)


def _say_exactly(schema: dict[str, Any]) -> None:
    """Mark all fields of an answer as required, and exclude others."""
    if "properties" in schema:
        schema["required"] = list(schema["properties"])
        schema["additionalProperties"] = False
        for field in schema["properties"].values():
            field.pop("readOnly", None)


def _errors_of(method: str, operation: Operation) -> list[str]:
    """List the errors of an operation. 403: a write by session without its CSRF token."""
    places = {parameter["in"] for parameter in operation.get("parameters", [])}
    secured = any(operation.get("security", []))
    return [
        *(["400"] if "query" in places or method in _SEND else []),
        "401",
        *(["403"] if secured and method != "get" else []),
        *(["404"] if "path" in places else []),
        *(["413", "415"] if method in _SEND else []),
        "429",
    ]


def _envelop(media: dict[str, Any]) -> None:
    media["schema"] = {
        "type": "object",
        "required": ["success", "data"],
        "additionalProperties": False,
        "properties": {"success": {"type": "boolean", "enum": [True]}, "data": media["schema"]},
    }


# ── Links ────────────────────────────────────────────────────────────────────────────────────────────────────


def _to(operation: str, description: str, **parameters: str) -> dict[str, Any]:
    return {
        "operationId": operation,
        "description": description,
        "parameters": {name: f"$response.body#/data/{path}" for name, path in parameters.items()},
    }


def _of_the_first(*names: str) -> dict[str, Any]:
    filters = {name: f"items/0/{name}" for name in names}
    return {
        "calls": _to("usage_detailed", "The calls of the first item.", **filters),
        "history": _to("usage_history", "The first item's days.", **filters),
        "models": _to("usage_by_model", "The first item's models.", **filters),
    }


LINKS: dict[str, dict[str, Any]] = {
    "usage_detailed": {
        "call": _to("usage_call", "The first of the calls.", id="items/0/id"),
        "next": _to("usage_detailed", "The next page.", cursor="next_cursor"),
    },
    "usage_by_agent": _of_the_first("agent_id"),
    "usage_by_model": _of_the_first("ai_provider", "ai_model"),
    "usage_by_request_type": _of_the_first("request_type"),
    "usage_by_user": _of_the_first("user"),
    "usage_by_org": _of_the_first("org"),
}
"""Links of each operation (OpenAPI 3.1, “Link Object”)."""
