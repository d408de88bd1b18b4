"""Completes the OpenAPI schema: texts of each operation, envelopes, errors with examples, and links.

The texts stand beside the code: the first line of a view's docstring is the operation's summary, the rest its
description; `help_text` describes a parameter or a property. Its language is English, whatever the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_bearer_security_scheme_object, build_examples_list, get_doc
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework.permissions import SAFE_METHODS

from usage_billing.api import examples
from usage_billing.api.filters import MOST_TAGS
from usage_billing.api.schema_links import LINKS

ERROR = {
    "type": "object",
    "description": "Why a request was not answered.",
    "required": ["success", "error"],
    "additionalProperties": False,
    "properties": {
        "success": {"type": "boolean", "enum": [False], "description": "False: this is an error."},
        "error": {
            "type": "object",
            "description": "The reason, for programs and for people.",
            "required": ["code", "message", "details"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string", "description": "A stable code for programs.", "examples": ["invalid"]},
                "message": {
                    "type": "string",
                    "description": "A text for people, in the language of `Accept-Language`: English or Russian.",
                },
                "details": {
                    "type": "object",
                    "description": "Problems by parameter or field; for 429 `retry_after_s`, in seconds.",
                    "examples": [{"days": ["A valid integer is required."]}],
                },
            },
        },
    },
}
_ERROR_SCHEMA = {"$ref": "#/components/schemas/Error"}


def refusal(description: str, *errors: dict[str, Any]) -> OpenApiResponse:
    """Describe an error of one endpoint, with examples, for `extend_schema`."""
    return OpenApiResponse(_ERROR_SCHEMA, description=description, examples=_named(*errors))


def _named(*errors: dict[str, Any]) -> list[OpenApiExample]:
    return [OpenApiExample(error["error"]["code"], error) for error in errors]


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes `Authorization: Bearer`."""

    target_class = "usage_billing.auth.tokens.TokenAuthentication"
    name = "jwtAuth"

    def get_security_definition(self, auto_schema: AutoSchema) -> Any:
        described = build_bearer_security_scheme_object("Authorization", "Bearer", "JWT")
        return {**described, "description": "The access token of `POST /api/token`. It is valid for 15 minutes."}


class ServiceTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes `Authorization: Bearer` of a program."""

    target_class = "usage_billing.auth.service_tokens.ServiceTokenAuthentication"
    name = "serviceToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> Any:
        described = build_bearer_security_scheme_object("Authorization", "Bearer")
        text = "A service token of a program, `aic_…`: an owner or a superadmin makes it and says what it may do."
        return {**described, "description": text}


NO_CONTENT = OpenApiResponse(description="It is done. The answer has no body.")
"""The answer of `DELETE`, for `extend_schema`."""


class ApiSchema(AutoSchema):
    """Describes a view by its `tag`, and by its docstring or, where it has several methods, by theirs."""

    def get_summary(self) -> str:
        return self._docstring()[0]

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular declares it
        return self._docstring()[1]

    def get_auth(self) -> list[dict[str, Any]]:
        """Leave service tokens out where they open nothing."""
        found: list[dict[str, Any]] = super().get_auth()
        return found if self._token_scopes() else [each for each in found if ServiceTokenScheme.name not in each]

    def _token_scopes(self) -> tuple[str, ...]:
        reads = self.method in SAFE_METHODS
        scopes: tuple[str, ...] = getattr(self.view, f"token_scopes_to_{'read' if reads else 'write'}", ())
        return scopes

    def get_tags(self) -> list[str]:
        return [self.view.tag]  # type: ignore[attr-defined]  # an ApiView

    def _docstring(self) -> tuple[str, str]:
        """Return the first sentence without its full stop, and the paragraphs after it."""
        method = getattr(self.view, self.method.lower())
        summary, _, description = (get_doc(method) or get_doc(type(self.view))).partition("\n\n")
        return summary.removesuffix("."), description


TAGS = OpenApiParameter(
    "tags",
    {
        "type": "object",
        # Letters of other alphabets are accepted as well.
        "propertyNames": {"pattern": r"^tag\.[A-Za-z0-9_.:-]{1,40}!?$"},
        "additionalProperties": {"type": "string", "maxLength": 100},
        "maxProperties": MOST_TAGS,
    },
    style="form",
    explode=True,
    description="Tags of the calls: `tag.<key>=<value>`, for example `tag.feature=search`. `tag.<key>!` excludes a"
    " value; an empty value finds calls without the tag.",
    examples=[OpenApiExample("Any tags", {}), OpenApiExample("One tag", {"tag.feature": "search"})],
)
"""Query parameters with names of their own (OpenAPI 3.1, “Style Values”: an object, exploded)."""


class ReportSchema(ApiSchema):
    """Describes a `ReportView` by its `query` and `answer`, and by what all reports have in common."""

    COMMON = """\
Covers the calls that you may see: a superadmin all, an owner those of their organisations, a member their own. \
Filters narrow this and never widen it, and all must hold. A filter may be repeated: any of its values matches; \
`name!=value` excludes a value. Days are billing days in each organisation's time zone. Tokens are whole numbers; \
amounts are decimal strings in USD and RUB; `null` is unknown, `"0"` is free."""

    def get_operation_id(self) -> str:
        return "usage_" + self.path.strip("/").rsplit("/", 1)[-1].replace("-", "_")

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular declares it
        return f"{super().get_description()}\n\n{self.COMMON}"

    def get_override_parameters(self) -> Any:
        return [self.view.query, TAGS]  # type: ignore[attr-defined]  # a ReportView

    def get_response_serializers(self) -> Any:
        return self.view.answer  # type: ignore[attr-defined]

    def get_examples(self) -> list[OpenApiExample]:
        return examples.recorded(self.get_operation_id())


class BreakdownSchema(ReportSchema):
    """Describes a `BreakdownView`."""

    COMMON = f"""\
Returns the items that add up to the total, the highest cost first or in the order of `ordering`, each with share, \
averages and the change over the period before; the last 30 days if no period is given. `then_by` divides each item by \
a second dimension.

{ReportSchema.COMMON}"""


_JSON = "application/json"
_ERRORS = {
    "400": ("A parameter or field is not valid; `details` names it.", examples.WRONG_DAYS),
    "401": ("No token, or an invalid one.", examples.NOT_AUTHENTICATED),
    "403": ("The caller may not do this: a request by session needs the CSRF token.", examples.WITHOUT_CSRF),
    "403 to read": ("The service token may not do this.", examples.OTHER_TOKEN_SCOPE),
    "413": ("The body is too large.", examples.TOO_LARGE),
    "415": ("The body is not JSON.", examples.NO_JSON),
    "429": ("Too many requests; `Retry-After` gives the seconds to wait.", examples.THROTTLED),
}
"""Description and example of the errors that endpoints share, by status; a view's own `refusal` comes first."""
_METHODS = ("get", "delete", "post", "put", "patch")

Operation = dict[str, Any]


def as_answered(result: dict[str, Any], **_options: Any) -> dict[str, Any]:
    """Add envelopes, errors and links. A postprocessing hook of drf-spectacular."""
    result["paths"] = {path.rstrip("/"): operations for path, operations in result["paths"].items()}
    components = result.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name, schema in schemas.items():
        if not name.endswith("Request"):
            _say_exactly(schema)
    schemas["Error"] = ERROR
    for scheme in components.get("securitySchemes", {}).values():
        scheme.setdefault("description", "The session of a person who is logged in to the pages.")
    for method, operation in _operations(result):
        for status, response in operation["responses"].items():
            if status.startswith("2") and _JSON in response.get("content", {}):
                _envelop(response["content"][_JSON])
            if status.startswith("2"):
                response["description"] = response["description"] or "Success."
        for status in _errors_of(method, operation):
            operation["responses"].setdefault(status[:3], _common(status))
        operation["responses"] = dict(sorted(operation["responses"].items()))
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
    """List the errors of an operation. 403: a write by session without its CSRF token, a read by another's token."""
    has_query = any(parameter["in"] == "query" for parameter in operation.get("parameters", []))
    by_session = any("cookieAuth" in scheme for scheme in operation.get("security", []))
    by_token = any(ServiceTokenScheme.name in scheme for scheme in operation.get("security", []))
    has_body = "requestBody" in operation
    return [
        *(["400"] if has_query or has_body else []),
        "401",
        *(["403"] if by_session and method != "get" else []),
        *(["403 to read"] if by_token and method == "get" else []),
        *(["413", "415"] if has_body else []),
        "429",
    ]


def _common(status: str) -> dict[str, Any]:
    description, error = _ERRORS[status]
    media = {"schema": _ERROR_SCHEMA, "examples": build_examples_list(_named(error))}
    return {"description": description, "content": {_JSON: media}}


def _envelop(media: dict[str, Any]) -> None:
    media["schema"] = {
        "type": "object",
        "required": ["success", "data"],
        "additionalProperties": False,
        "properties": {
            "success": {"type": "boolean", "enum": [True], "description": "True: this is an answer."},
            "data": {"description": "The answer itself.", **media["schema"]},
        },
    }
    for example in media.get("examples", {}).values():
        example["value"] = {"success": True, "data": example["value"]}
