"""The schema says what is sent: each answer in its envelope, each error that an endpoint can give."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema

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
                "code": {"type": "string", "description": "What programs can go by."},
                "message": {"type": "string", "description": "What people can read."},
                "details": {"description": "What is wrong, by the name of the parameter or field."},
            },
        },
    },
}


class ReportSchema(AutoSchema):
    """Of a view that says by its `query` and `answer` what it takes and gives."""

    def get_operation_id(self) -> str:
        return "usage_" + self.path.strip("/").rsplit("/", 1)[-1].replace("-", "_")

    def get_override_parameters(self) -> Any:
        return [self.view.query]  # type: ignore[attr-defined]  # a ReportView

    def get_response_serializers(self) -> Any:
        return self.view.answer  # type: ignore[attr-defined]


_JSON = "application/json"
_OF_ALL = {
    "400": "A parameter or field is not valid; `details` names it.",
    "401": "No token, or one that is not valid any more.",
    "403": "Not for this person.",
    "404": "There is no such thing, or it is not theirs.",
    "429": "Too many requests; `Retry-After` says when to come again.",
}
_METHODS = ("get", "post", "put", "patch", "delete")


def as_answered(result: dict[str, Any], **_options: Any) -> dict[str, Any]:
    """A hook of drf-spectacular's: envelopes, errors, and where an answer leads."""
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = ERROR
    operations = [
        operation for path in result["paths"].values() for method, operation in path.items() if method in _METHODS
    ]
    for operation in operations:
        for status, response in operation["responses"].items():
            if status.startswith("2") and _JSON in response.get("content", {}):
                _envelop(response["content"][_JSON])
        for status in _errors_of(operation):
            operation["responses"].setdefault(
                status,
                {
                    "description": _OF_ALL[status],
                    "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
                },
            )
    _link_calls(result)
    return result


def _errors_of(operation: dict[str, Any]) -> list[str]:
    """The errors that an operation can answer with."""
    is_open = {} in operation.get("security", [])
    of_one = any(parameter["in"] == "path" for parameter in operation.get("parameters", []))
    return [
        "400",
        "401",
        *([] if is_open else ["403"]),
        *(["404"] if of_one else []),
        "429",
    ]


def _envelop(media: dict[str, Any]) -> None:
    media["schema"] = {
        "type": "object",
        "required": ["success", "data"],
        "additionalProperties": False,
        "properties": {"success": {"type": "boolean", "enum": [True]}, "data": media["schema"]},
    }


def _link_calls(result: dict[str, Any]) -> None:
    """From a list of calls to one of them."""
    for operation in (method for path in result["paths"].values() for method in path.values()):
        if operation["operationId"] == "usage_detailed":
            operation["responses"]["200"]["links"] = {
                "one": {"operationId": "usage_call", "parameters": {"id": "$response.body#/data/items/0/id"}}
            }
