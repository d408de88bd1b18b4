"""Examples of requests, answers and errors for the schema.

All answers are about two organisations of the demo, Atlas Content Studio and Lumen Learning, at the same moment.
`examples.json` holds the data of each operation's answer as the API gave it: tests/support/example_world.py records it,
and tests/usage_billing/api/test_examples.py compares it with what the API answers now.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from drf_spectacular.utils import OpenApiExample

RECORDED_IN = Path(__file__).with_name("examples.json")
RECORDED: dict[str, Any] = json.loads(RECORDED_IN.read_text(encoding="utf-8"))
"""Data of an answer by operation. Of the export: a file's text by media type."""
EXPORT = "usage_export"


def sent(body: Any) -> OpenApiExample:
    """Return an example of a request's body."""
    return OpenApiExample("Request", body, request_only=True)


def answered(data: Any, media_type: str | None = None) -> OpenApiExample:
    """Return an example of an answer: its data without the envelope, which `schema.as_answered` adds."""
    return OpenApiExample("Answer", data, response_only=True, media_type=media_type)


def recorded(operation: str) -> list[OpenApiExample]:
    """Return the examples of an operation's answer; none for one that is new and has no recorded answer."""
    found = RECORDED.get(operation)
    if operation == EXPORT:
        return [answered(text, media_type) for media_type, text in (found or {}).items()]
    return [] if found is None else [answered(found)]


def error(code: str, message: str, **details: Any) -> dict[str, Any]:
    """Return an error as the API answers it."""
    return {"success": False, "error": {"code": code, "message": message, "details": details}}


def invalid(**details: str) -> dict[str, Any]:
    """Return the error for parameters or fields that are not valid: name → why."""
    text = "Some of what you sent is not valid; see the details."
    return error("invalid", text, **{name: [why] for name, why in details.items()})


def throttled(code: str, message: str, seconds: int) -> dict[str, Any]:
    """Return the error for a limit that is reached."""
    return error(code, f"{message} Expected available in {seconds} seconds.", retry_after_s=seconds)


def not_found(message: str) -> dict[str, Any]:
    return error("not_found", message)


TOKENS = {
    "access": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0eXAiOiJhY2Nlc3MiLCJzaWQiOiI5YzFlIn0.3sQmJ0l8nq6kJQk0n3pX2w",
    "refresh": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0eXAiOiJyZWZyZXNoIiwic2lkIjoiOWMxZSJ9.Qe1R8yJm6v0s7uYcC4aXLw",
}
CREDENTIALS = {"username": "anna", "password": "demo-password"}
REFRESH = {"refresh": TOKENS["refresh"]}

REQUIRED = "This field is required."
WRONG_DAYS = invalid(days="A valid integer is required.")
NOT_AUTHENTICATED = error("not_authenticated", "Authentication credentials were not provided.")
WRONG_PASSWORD = error("no_active_account", "No active account found with the given credentials")
USED_TOKEN = error("token_not_valid", "This refresh token has been used.")
ENDED_SESSION = error("token_not_valid", "This session has ended.")
WITHOUT_CSRF = error("permission_denied", "CSRF Failed: CSRF cookie not set.")
NOT_FOR_MEMBERS = error("permission_denied", "This is for superadmins and for owners of several organisations.")
OTHER_TOKEN_SCOPE = error("permission_denied", "This needs a service token with the scope read.")
NO_CALL = not_found("There is no such call.")
TOO_LARGE = error("too_large", "The body is longer than 2621440 bytes.")
NO_JSON = error("unsupported_media_type", 'Unsupported media type "text/plain" in request.')
THROTTLED = throttled("throttled", "Request was throttled.", 24)
LOGIN_LOCKED = throttled("login_locked", "Too many failed attempts.", 600)
TOO_MANY_EXPORTS = throttled(
    "too_many_exports", "Too many exports are running, yours or everybody's. Wait until one is done.", 30
)

NEW_BUDGET = {
    "name": "November",
    "org": "atlas-studio",
    "window": "month",
    "limit": "100.00",
    "unit": "usd",
    "mode": "stop",
}
CHANGED_BUDGET = {"limit": "150", "scope": {"agent_id": "legal_guard", "tag": "feature=review"}}
NEW_REQUEST = {"budget": 7, "limit": "150", "reason": "Two more campaigns until Friday."}
GRANT = {"state": "granted", "limit": "120"}

NO_BUDGET = not_found("There is no such budget.")
NO_REQUEST = not_found("There is no such request.")
WRONG_PAGE = invalid(limit="Ensure this value is less than or equal to 100.")
WRONG_LIMIT = invalid(limit="Write an amount above zero. To stop nothing, make the budget inactive.")
LOW_LIMIT = invalid(limit="Write an amount above the present limit, which is 100.")
ANSWERED_ALREADY = invalid(state="This request was answered already.")
NOT_AN_OWNER = error("not_an_owner", "Only an owner of the organisation can change its budgets.")
SET_BY_SUPERADMIN = error(
    "set_by_superadmin",
    "A superadmin has set this budget, so only a superadmin can change it. Ask for a higher limit.",
)
NOT_ITS_HISTORY = error("not_an_owner", "Only owners of the organisation see the history of a budget.")
MAY_CHANGE_IT = error("may_change_it", "You may change this budget yourself: set its limit.")
GRANTED_BY_SUPERADMINS = error(
    "set_by_superadmin",
    "A superadmin has set this budget, so only a superadmin can grant more of it. You can refuse the request.",
)
ANSWERED_BY_OWNERS = error(
    "not_an_owner", "Only an owner of the organisation, or a superadmin, can answer this request."
)

NEW_CHANNEL = {"name": "Duty", "org": "atlas-studio", "kind": "slack", "target": "https://hooks.example.com/T0/B0"}
NEW_RULE = {
    "name": "Errors of the review",
    "org": "atlas-studio",
    "kind": "errors",
    "bound": "5",
    "step": "hour",
    "scope": {"tag.feature": "review"},
    "renotify_hours": 24,
}
TESTED = {
    "deliveries": [
        {
            "channel": 2,
            "recipient": "",
            "event": "test",
            "state": "failed",
            "attempts": 1,
            "problem": "The server answered with status 404.",
            "created_at": "2026-11-27T09:30:00Z",
            "sent_at": None,
        }
    ]
}
NO_CHANNEL = not_found("There is no such channel.")
NO_RULE = not_found("There is no such rule.")
NO_FIRING = not_found("There is no such alert.")
WRONG_TARGET = invalid(target="Write an address such as https://example.com/hook, without a user and a password.")
WRONG_BOUND = invalid(bound="Write a number above zero.")
NOT_AN_OWNER_OF_ALERTS = error("not_an_owner", "Only an owner of the organisation can set up its alerts.")

NEW_TOKEN = {"name": "gateway", "org": "atlas-studio", "scopes": ["ingest", "proxy"]}
MADE_TOKEN = {
    "id": 6,
    "name": "gateway",
    "prefix": "aic_Yb7dQ2mW",
    "org": "atlas-studio",
    "scopes": ["ingest", "proxy"],
    "allowed_models": [],
    "state": "active",
    "by": "anna",
    "created_at": "2026-11-27T09:30:00Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
    "token": "aic_Yb7dQ2mWk0uV4nE8rT1cX5zA9sL3fH6jG2pB7iM0oU4",
}
ROTATION = {"overlap_hours": 24}
NEW_KEY = {"secret": "sk-proj-0123456789abcdefghij"}
NO_TOKEN = not_found("There is no such token.")
NO_PROVIDER = not_found("There is no such provider.")
NO_KEY = not_found("There is no such provider key.")
WRONG_EXPIRY = invalid(expires_at="The end lies in the past.")
WRONG_OVERLAP = invalid(overlap_hours="Ensure this value is less than or equal to 720.")
SAVED_KEY = {
    "provider": "openai",
    "org": "atlas-studio",
    "hint": "ghij",
    "by": "anna",
    "saved_at": "2026-11-27T09:30:00Z",
}
WRONG_ORG = invalid(org="There is no organisation “nobody” here. Give its id, or the slug of one that you may see.")
NOT_AN_OWNER_OF_TOKENS = error(
    "not_an_owner", "Only an owner of the organisation, or a superadmin, sets up its service tokens and keys."
)
