"""Texts of the API's schema as a whole. Those of an operation stand beside its view (`usage_billing.api.schema`)."""

DESCRIPTION = """\
Every call to an AI provider: who caused it, its tokens, and its cost in US dollars and RUB.

**Authentication.** Send `Authorization: Bearer <access>` with the access token of `POST /api/token`. In a browser the \
session of the pages is enough to read; everything else then needs the CSRF token as well. Programs send a service \
token instead: `Authorization: Bearer aic_…`. It reads reports and alerts with the scope `read`, and sets budgets with \
`budgets`; an operation that does not list `serviceToken` refuses it.

**Answers.** `{"success": true, "data": …}` or `{"success": false, "error": {"code", "message", "details"}}`.

**Numbers.** Tokens and milliseconds are whole numbers. Amounts are exact decimal strings: `"0.0536"`. `null` is \
unknown, `"0"` is free, and every total says how many calls it leaves out (`unpriced_count`).

**Time.** `usage_date`, `from` and `to` are billing days (`2026-11-27`) in the organisation's time zone. Moments are \
ISO 8601 with their offset."""

TAGS = [
    {"name": "Authentication", "description": "Access and refresh tokens of a person."},
    {"name": "Usage", "description": "Totals of calls, tokens and cost: by time, agent, model, request type, person."},
    {"name": "Calls", "description": "Single calls with their attribution and cost."},
    {"name": "Export", "description": "All matching calls as a file."},
    {"name": "Budgets", "description": "Limits of spending, their history, and requests for higher ones."},
    {"name": "Alerts", "description": "What is watched, where alerts go, and which alerts there are."},
    {"name": "Service tokens", "description": "Credentials of programs, and provider keys that the proxy calls with."},
    {"name": "Agents", "description": "Assistants that check, rewrite and illustrate content. Each run has a cost."},
    {"name": "Participants", "description": "Profiles of the people in an organisation's chats."},
    {"name": "Analysis", "description": "Questions about messages and content."},
    {"name": "Cron", "description": "Jobs, for schedulers that can only send HTTP requests."},
]
"""The groups of operations, in the order of the page: the `tag` of each view is one of these names."""
