"""Splits the usage of a batch or a session between its own record and those of its requests, so that none counts twice.

A job tells the sum of its requests' usage, and each request tells its own. The job's record keeps, in
`response_metadata["job"]`, the sum (`usage`) and how much its requests have told (`told`); its own usage is the rest.
The order of events does not matter: each only raises one of the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from usage_billing.costing import costs, metering
from usage_billing.costing.costs import Row
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.recording.event import Event, Flavour, flavour_of

COUNTS = ("prompt_tokens", "cached_tokens", "cache_write_tokens", "completion_tokens", "reasoning_tokens")


def begun(row: Row, event: Event, overrides: PriceOverrides) -> Row:
    """Return the row of the call that began the job, ready to count its requests."""
    return row if row["status"] == "failed" else ended(row, event, overrides)


def ended(row: Row, event: Event, overrides: PriceOverrides) -> Row:
    """Return the job's row with the state that the event tells. `row`: the job's, or that of the event itself."""
    if event.job is None:
        return row
    job, state = event.job, _state(row)
    state["is_session"] = job.is_session or state.get("is_session", False)
    for name in ("has_ended", "is_read"):
        state[name] = state.get(name, False) or getattr(job, name)
    state["failed"] = event.status == "failed"
    if job.requests is not None:
        state["requests"] = job.requests
    if isinstance(usage := metering.decode_usage(event.usage), dict) and (usage := metering.compact(usage)):
        # An older sum may come later, from another machine.
        state["usage"] = max(state.get("usage", {}), usage, key=lambda block: _total(row, block))
    changed = {**row, "ai_model": row["ai_model"] or event.model, "error_code": event.error_code or row["error_code"]}
    said = dict(event.response) | ({"context": event.context} if event.context else {})
    changed["response_metadata"] = {**changed["response_metadata"], **said}
    return _settled(_with_state(changed, state), overrides)


def read(row: Row, overrides: PriceOverrides) -> Row:
    """Return the job's row, all of whose results have been read."""
    return _settled(_with_state(row, {**_state(row), "is_read": True}), overrides)


def with_request(row: Row, request: Row, overrides: PriceOverrides) -> Row:
    """Return the job's row after one of its requests got a record of its own."""
    if "job" not in row["response_metadata"]:
        return row
    state = _state(row)
    told = state.setdefault("told", {})
    told["requests"] = told.get("requests", 0) + (request["status"] != "failed")
    for name in COUNTS:
        told[name] = told.get(name, 0) + request[name]
    return _settled(_with_state(row, state), overrides)


def _total(row: Row, block: Mapping[str, Any]) -> int:
    """Return the number of tokens of a usage block of the job."""
    tokens = metering.meter(_flavour(row), block).tokens if block else metering.Tokens()
    return tokens.prompt + tokens.completion


def _flavour(row: Row) -> Flavour:
    return flavour_of(row["endpoint"]) or "responses"


def _state(row: Row) -> dict[str, Any]:
    state: dict[str, Any] = {**row["response_metadata"].get("job", {})}
    if "told" in state:
        state["told"] = dict(state["told"])
    return state


def _with_state(row: Row, state: Mapping[str, Any]) -> Row:
    kept = {name: value for name, value in state.items() if value not in (False, {})}
    return {**row, "response_metadata": {**row["response_metadata"], "job": kept}}


def _settled(row: Row, overrides: PriceOverrides) -> Row:
    """Return the row with its own usage and cost: what its requests have not told."""
    state = _state(row)
    told = state.get("told", {})
    rest: dict[str, Any] = {}
    if state.get("is_read") or _is_told(state):
        is_known, in_its_requests = True, True
    else:
        rest = _rest(row, state["usage"], told) if "usage" in state else {}
        is_known = bool(state.get("has_ended") or "usage" in state)
        in_its_requests = "usage" in state and not rest
    state["in_its_requests"] = in_its_requests
    status = "failed" if state.get("failed") else "succeeded" if is_known else "pending"
    return costs.cost({**_with_state(row, state), "usage": rest, "status": status}, overrides)


def _is_told(state: Mapping[str, Any]) -> bool:
    """Whether all requests have records. A session's requests are never all told; its sum says what is missing."""
    told = state.get("told", {}).get("requests", 0)
    if state.get("is_session"):
        return bool(told and "usage" not in state)
    return bool(state.get("has_ended") and state.get("requests") is not None and told >= state["requests"])


def _rest(row: Row, total: Mapping[str, Any], told: Mapping[str, int]) -> dict[str, Any]:
    """Return the usage block of what is left of the sum; empty if nothing is."""
    if not any(told.get(name) for name in COUNTS):
        return dict(total)
    flavour = _flavour(row)
    sums = msgspec.structs.asdict(metering.meter(flavour, total).tokens)
    left = {name: max(0, sums[name.removesuffix("_tokens")] - told.get(name, 0)) for name in COUNTS}
    if not left["prompt_tokens"] and not left["completion_tokens"]:
        return {}
    cached = min(left["cached_tokens"], left["prompt_tokens"])
    written = min(left["cache_write_tokens"], left["prompt_tokens"] - cached)
    if flavour == "messages":
        block = {
            "input_tokens": left["prompt_tokens"] - cached - written,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": written,
            "output_tokens": left["completion_tokens"],
        }
    else:
        block = {
            "input_tokens": left["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
            "output_tokens": left["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": min(left["reasoning_tokens"], left["completion_tokens"])},
            "total_tokens": left["prompt_tokens"] + left["completion_tokens"],
        }
    return dict(metering.compact(block))
