"""Links of the schema: where the values of an answer lead (OpenAPI 3.1, “Link Object”)."""

from __future__ import annotations

from typing import Any


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
"""Links of each operation."""
