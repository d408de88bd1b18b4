"""Random hostile answers and attributions, through the transport, the outbox and the drain; a good call after each.

`HOSTILE_EVENTS=10000` tries that many.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from django.core.management import call_command
from django.test import Client

from ai_clients import record_http_client
from tests.support import factories
from tests.support.scripted import Provider, plain, sse, streamed
from usage_billing import recording
from usage_billing.models import UsageRecord
from usage_billing.recording import usage_context
from usage_billing.recording.outbox import Outbox

pytestmark = pytest.mark.django_db

EVENTS = int(os.environ.get("HOSTILE_EVENTS", "600"))
ENDPOINTS = (
    "/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/images/generations", "/v1/audio/speech",
    "/v1/audio/transcriptions", "/v1/messages", "/sk-secret/v1/completions", "/openai/deployments/x/chat/completions",
)  # fmt: skip
HOSTS = ("api.openai.com", "api.anthropic.com", "127.0.0.1:9", "[::1]:9", "evil.example.com", "x" * 60 + ".example.com")
NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 10**12, 10**12 + 1, 2**31, 2**53, 2**62, 2**63 - 1, -(2**63), 2**64, 10**40, 10**400, 1e308, -0.5, 1e-300,
    True, None, "9" * 400, float("nan"), float("inf"),
)  # fmt: skip
TEXTS = (
    "", "gpt-4.1-mini", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "\x00", "\x1b[2J", "a\nb\r\n",
    "\u202egnp.exe",
    "\ud800", "\udfff\ud800", "x" * 201, "х" * 5000, "'; DROP TABLE token_usage; --", "{{7*7}}", "\ufeff",
    "👨‍👩‍👧", "🏴\U000e0067",
    "sk-proj-Ab12Cd34Ef56Gh78", "%s%d{0}", "unpriced:free", "~", "*",
)  # fmt: skip
NAMES = (
    "usage", "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens", "cached_tokens",
    "prompt_tokens_details", "input_tokens_details", "cache_read_input_tokens", "cache_creation_input_tokens",
    "cache_creation", "ephemeral_1h_input_tokens", "iterations", "server_tool_use", "web_search_requests",
    "service_tier", "inference_geo", "speed", "reasoning_tokens", "output_tokens_details", "seconds", "type",
    "tool_usage", "image_gen", "svg_usage", "unreadable", "units", "parts", "model", "__class__", "\x00", "\ud800",
)  # fmt: skip


class Hostile:
    """Raises at every access."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise ValueError


def value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(10)
    if kind < 4 or depth > 4:
        return chance.choice(NUMBERS)
    if kind < 6:
        return chance.choice(TEXTS)
    if kind == 6:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice(NAMES): value(chance, depth + 1) for _ in range(chance.randrange(6))}


def nested(chance: random.Random) -> Any:
    depth, found = chance.choice((20, 100, 500, 900)), value(chance)
    for _ in range(depth):
        found = {chance.choice(NAMES[:9]): found} if chance.random() < 0.7 else [found]
    return found


def block(chance: random.Random) -> Any:
    kind = chance.randrange(8)
    if kind == 0:
        return value(chance)
    if kind == 1:
        return nested(chance)
    if kind == 2:
        return {"prompt_tokens": 1, "completion_tokens": 1, "padding": "x" * chance.choice((10, 40_000, 300_000))}
    return {chance.choice(NAMES): value(chance) for _ in range(chance.randrange(1, 12))}


def answer(chance: random.Random) -> httpx2.Response:
    fields = {
        "id": chance.choice((*TEXTS, f"resp_{chance.randrange(50):040d}", "constant-id-of-this-server", 5)),
        "object": chance.choice(("chat.completion", "response", 7)),
        "type": chance.choice(("message", "response.completed", None)),
        "model": chance.choice((*TEXTS, "claude-opus-4-1", "gpt-image-1", 12, None)),
        "status": chance.choice(("completed", "in_progress", "failed", "queued", TEXTS[3], 1)),
        "background": chance.choice((True, False, None, 3)),
        "service_tier": chance.choice((*TEXTS, "default", {}, 1)),
        "usage": block(chance),
        "error": chance.choice((None, {"code": chance.choice(TEXTS), "type": 5}, chance.choice(TEXTS))),
        "tool_usage": block(chance),
        "output": [{"type": "web_search_call", "status": "completed"}, value(chance)],
        "duration": chance.choice(NUMBERS),
    }
    try:
        body = json.dumps(fields).encode()
    except RecursionError:
        body = b'{"usage":' + b"[" * 2000 + b"]" * 2000 + b"}"
    kind = chance.randrange(6)
    headers = {"x-request-id": "".join(c for c in chance.choice(TEXTS) if " " < c < "\x7f")}
    if kind == 0:
        body = body[: chance.randrange(len(body))]
    if kind == 1:
        events = [{"type": "message_start", "message": fields}, {"type": "message_delta", **fields}, fields]
        try:
            return streamed(*sse(*events, chance.choice(("[DONE]", "[DONE", {}))), headers=headers)
        except (RecursionError, UnicodeEncodeError):
            pass
    return plain(body, status=chance.choice((200, 200, 200, 201, 400, 429, 500)), headers=headers)


def metadata(chance: random.Random) -> dict[Any, Any]:
    cycle: dict[Any, Any] = {}
    cycle["cycle"] = cycle
    deep: Any = 1
    for _ in range(3000):
        deep = [deep]
    some: list[dict[Any, Any]] = [
        {}, cycle, {"deep": deep}, {"object": Hostile()}, {Hostile(): 1}, {"\ud800": "\ud800"}, {"x": "y" * 100_000},
        {"f": lambda: Hostile()}, {str(number): number for number in range(3000)},
        {5: {1, 2}, "b": b"\xff", "n": 10**50},
    ]  # fmt: skip
    return {**chance.choice(some), chance.choice(TEXTS): chance.choice(NUMBERS)}


def test_none_is_lost_none_is_refused_and_none_harms_another_tenant(
    outbox: Outbox, drained: Callable[[], int], client: Client
) -> None:
    chance = random.Random(15)
    factories.rate()
    attacked, other = factories.organization(), factories.organization()
    answers: list[httpx2.Response] = []
    hostile = httpx2.Client(transport=Provider(lambda _request: answers.pop()))
    record_http_client(hostile, *(f"https://{host}" for host in HOSTS))
    good = httpx2.Client(transport=Provider(lambda request: plain({**GOOD, "id": request.headers["x-number"]})))
    record_http_client(good)
    sent = 0
    for number in range(EVENTS):
        answers.append(answer(chance))
        who = chance.choice((attacked, attacked.pk, Hostile(), True, 10**30, -1, "\ud800", None, 1.5))
        words: list[Any] = [chance.choice((*TEXTS, Hostile(), 5, None)) for _ in range(7)]
        with usage_context(
            org=who, user=chance.choice((None, who)), agent_id=words[0], request_type=words[1], workflow_id=words[2],
            content_id=words[3], platform=words[4], content_type=words[5], task_type=words[6],
            metadata=metadata(chance),
        ):  # fmt: skip
            url = f"https://{chance.choice(HOSTS)}{chance.choice(ENDPOINTS)}"
            hostile.post(url, content=b'{"model": "m", "stream": true}' if number % 2 else b"\xff" * 10)
            sent += 1
        with usage_context(org=other, agent_id="good"):
            good.post(factories.CHAT, json={}, headers={"x-number": f"chatcmpl-of-a-good-call-{number}"})
        if number % 200 == 199:
            drained()
    drained()

    state = recording.health()
    assert state.lost == 0
    assert state.backlog is not None
    assert (state.backlog.events, state.backlog.rejected) == (0, 0), outbox.list_rejected(5)
    costs = UsageRecord.objects.filter(org=other, agent_id="good").values_list("cost_usd", flat=True)
    assert (len(costs), set(costs)) == (EVENTS, {Decimal("0.00056")})
    assert UsageRecord.objects.exclude(org=other).count() >= sent * 0.5  # several tell the same id and the same usage
    call_command("check_usage")
    largest = UsageRecord.objects.order_by("-total_tokens").values_list("total_tokens", flat=True)[0]
    assert largest <= 2 * 10**12
    for person in (factories.superadmin(), factories.owner(attacked), factories.owner(other)):
        client.force_login(person)
        for page in ("/superadmin/ai-costs?days=90", "/usage/?days=90"):
            assert client.get(page).status_code in (200, 302, 403), page
        for name in (
            "summary",
            "history",
            "by-agent",
            "by-model",
            "by-request-type",
            "by-user",
            "by-org",
            "detailed",
            "export",
        ):
            response = client.get(f"/api/billing/usage/tokens/{name}")
            assert response.status_code in (200, 403), (name, response.content)


GOOD = {
    "object": "chat.completion",
    "model": "gpt-4.1-mini",
    "choices": [],
    "usage": factories.chat_usage(),
    "service_tier": "default",
}
