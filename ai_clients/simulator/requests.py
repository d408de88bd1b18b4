"""Reads the required and optional fields of a request body, refusing as the provider does."""

from typing import Any, Literal

from ai_clients.simulator.answers import JsonObject, RequestRefusedError


def openai_required(body: JsonObject, name: str, kinds: type | tuple[type, ...]) -> Any:
    """The field `name` of an OpenAI request, or a refusal in OpenAI's words."""
    value = body.get(name)
    if value is None:
        raise RequestRefusedError(
            f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
        )
    if not isinstance(value, kinds):
        raise RequestRefusedError(f"Invalid type for '{name}'.", param=name, code="invalid_type")
    return value


def anthropic_required(body: JsonObject, name: str, kind: type) -> Any:
    """The field `name` of an Anthropic request, or a refusal in Anthropic's words."""
    value = body.get(name)
    if value is None:
        raise RequestRefusedError(f"{name}: Field required")
    if not isinstance(value, kind):
        raise RequestRefusedError(f"{name}: Input should be a valid {kind.__name__}")
    return value


def positive_integer(body: JsonObject, *names: str) -> int | None:
    """The first of the named fields that holds a positive whole number."""
    for name in names:
        value = body.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return None


def mapping(body: JsonObject, name: str) -> JsonObject:
    """The field `name` when it holds an object, else an empty one."""
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def mappings(body: JsonObject, name: str) -> list[JsonObject]:
    """The objects of the list in field `name`; none when it is not a list."""
    value = body.get(name)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def openai_service_tier(body: JsonObject) -> Literal["default", "flex", "priority"]:
    """The tier OpenAI reports: the one asked for when it is flex or priority, else default."""
    match body.get("service_tier"):
        case "flex":
            return "flex"
        case "priority":
            return "priority"
        case _:
            return "default"
