"""Tells which spans are calls: by the operation of the conventions, or by an emitter's own word for it."""

from __future__ import annotations

from usage_billing.ingest.otlp import names
from usage_billing.ingest.otlp.values import Attributes, fact
from usage_billing.recording.event import Flavour


def api_of(attributes: Attributes) -> Flavour | None:
    """Return the API of an inference, `unknown` for an operation that nobody knows; None for what bills nothing."""
    for name, kinds in names.KINDS.items():
        if name in attributes and name != "llm.request.type":
            return kinds.get(str(attributes[name]), kinds[""])
    if operation := fact(attributes, "operation").lower():
        if operation.endswith("_memory"):
            return None
        return names.OPERATIONS.get(operation, "unknown" if _tells_usage(attributes) else None)
    if (kind := attributes.get("llm.request.type")) is not None:
        return names.KINDS["llm.request.type"].get(str(kind))
    # Before the conventions had operations, only inferences had these attributes.
    is_inference = fact(attributes, "request_model") and (_tells_usage(attributes) or fact(attributes, "response_id"))
    return "chat" if is_inference else None


def _tells_usage(attributes: Attributes) -> bool:
    return any(name in attributes for unit in ("input", "output") for name in names.COUNTS[unit])
