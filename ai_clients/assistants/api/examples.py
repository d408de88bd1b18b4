"""Examples of requests, answers and errors of the assistants, for the schema.

They go on with those of `usage_billing.api.examples`: a post of Atlas Content Studio is checked by the legal guard.
`examples.json` holds the description of the agent as the API gave it. tests/ai_clients/assistants/api/test_examples.py
compares all of them with the API's answers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from usage_billing.api.examples import RECORDED, REQUIRED, error, invalid, not_found, throttled

RECORDED_IN = Path(__file__).with_name("examples.json")
AGENT: dict[str, Any] = json.loads(RECORDED_IN.read_text(encoding="utf-8"))
"""The legal guard, as the list of agents describes it."""

_CALL = RECORDED["usage_call"]

RUN_REQUEST: dict[str, Any] = {
    "input": {
        "text": "Only this week: the best running shoes in town, 30 % off with the code FALL.",
        "title": "Autumn sale",
        "platform": "telegram",
        "advertiser": "Runhouse LLC",
    },
    "org": "atlas-studio",
    "content_id": _CALL["content_id"],
    "workflow_id": _CALL["workflow_id"],
}
RUN: dict[str, Any] = {
    "agent_id": "legal_guard",
    "org": "atlas-studio",
    "content_id": _CALL["content_id"],
    "workflow_id": _CALL["workflow_id"],
    "output": {
        "is_advertising": True,
        "verdict": "fix_first",
        "findings": [
            {
                "area": "ad_marking",
                "law": "38-FZ, Art. 18.1",
                "quote": "",
                "severity": "blocker",
                "problem": "The post advertises a sale and is not marked as advertising.",
                "fix": "Add “Advertising. Runhouse LLC” and the erid of the advertising data operator.",
            }
        ],
        "summary": "An advertisement without its marking. Mark it before you publish it.",
    },
    "cost": {
        "requests_count": 1,
        "prompt_tokens": _CALL["prompt_tokens"],
        "completion_tokens": _CALL["completion_tokens"],
        "total_tokens": _CALL["total_tokens"],
        "cost_usd": _CALL["cost_usd"],
        "cost_rub": _CALL["cost_rub"],
        "unpriced_count": 0,
        "unpriced_rub_count": 0,
    },
}

ENRICHMENT_REQUEST = {"max_messages": 100}
PARTICIPANT = {
    "id": 7,
    "org": _CALL["org"],
    "external_id": "418820317",
    "name": "Jonas Weber",
    "interests": ["trail running", "maps"],
    "role": "expert",
    "activity": "high",
    "tone": "friendly",
    "analysed_at": "2026-11-27T10:30:00+01:00",
}

QUESTION = {
    "question": "What do people say about the new route?",
    "message_ids": [9120, 9134],
    "content_ids": [_CALL["content_id"]],
}
ANALYSIS = {
    "answer": "Two people praise the view. One of them asks for a sign at the second turn.",
    "is_answered": True,
    "evidence": [{"type": "message", "id": "9134"}, {"type": "content", "id": _CALL["content_id"]}],
}

ROLE_UPDATES = {
    "organizations": 1,
    "analysed": 1,
    "skipped": 0,
    "failed": 1,
    "failures": [
        {
            "org_id": _CALL["org"],
            "participant_id": 9,
            "error": "RefusedError: The model refused this task. «I can't help with that.»",
        },
    ],
}
DIGESTS = {
    "sent": 1,
    "already": 0,
    "quiet": 1,
    "nobody": 0,
    "failed": 1,
    "failures": [{"org_id": 5, "error": "SMTPServerDisconnected: Connection unexpectedly closed"}],
}

NO_AGENT = not_found("There is no such agent.")
NO_PARTICIPANT = not_found("There is no such participant.")
NO_TEXT = not_found("There is no such text: 9120")
WITHOUT_INPUT = invalid(input=REQUIRED)
WITHOUT_QUESTION = invalid(question=REQUIRED)
WRONG_NUMBER = invalid(max_messages="Ensure this value is less than or equal to 500.")
NO_MESSAGES = error("no_messages", "This participant has no messages: there is nothing to analyse.")
UNDER_WAY = error("under_way", "An analysis of this participant is under way. Wait for it to end.")
WITHOUT_SECRET = error("authentication_failed", "Send the header “Authorization: Bearer” with the CRON_SECRET.")
TOO_MANY_RUNS = throttled(
    "too_many_runs", "Too many runs of the AI: the limit of the person or of the organisation is reached.", 1740
)

_CUT_OFF = "The answer was cut off at the limit of tokens. Give a shorter text, or less of it."
_BUSY = "The provider takes no more requests for now. Try again later."
_WAIT = {"provider_status": 429, "retryable": True, "retry_after_s": 12}
CUT_OFF = error("cut_off", _CUT_OFF, retryable=False)
PROVIDER_BUSY = error("provider_error", _BUSY, **_WAIT)
# The failure of a run has its cost too.
_OF_RUN = {"workflow_id": RUN["workflow_id"], "cost": RUN["cost"]}
RUN_CUT_OFF = error("cut_off", _CUT_OFF, retryable=False, **_OF_RUN)
RUN_PROVIDER_BUSY = error("provider_error", _BUSY, **_WAIT, provider="anthropic", **_OF_RUN)
