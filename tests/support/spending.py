"""A provider on loopback whose answers cost what a test says, and budgets for it."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from openai import OpenAI

import ai_clients
from tests.support.loopback import Answered, Loopback, Received, serving
from usage_billing.budgets import stop_list
from usage_billing.models import Budget, Organization

MODEL = "gpt-4.1-mini"
"""OpenAI, Pricing: 0.40 USD a million input tokens, 1.60 a million output tokens; no long context."""
CENT = 6_250
"""Output tokens of `MODEL` that cost one US cent."""

_numbers = itertools.count(1)


@dataclass
class Provider:
    """A provider whose answers take so many tokens; each waits for `is_open`."""

    server: Loopback
    prompt_tokens: int = 0
    completion_tokens: int = CENT
    model: str = MODEL
    is_open: threading.Event = field(default_factory=threading.Event)

    @property
    def calls(self) -> int:
        """How many requests have come."""
        return len(self.server.requests)

    def wait_for_a_call(self) -> None:
        while not self.calls:
            time.sleep(0.01)

    def client(self, **options: Any) -> OpenAI:
        return ai_clients.OpenAI(api_key="sk-test", base_url=f"{self.server.url}/v1", max_retries=2, **options)

    def call(self, **options: Any) -> Any:
        """Make one plain call."""
        messages: list[Any] = [{"role": "user", "content": "Hi"}]
        given: dict[str, Any] = {"model": self.model, "messages": messages, "max_tokens": CENT} | options
        return self.client().chat.completions.create(**given)


@contextmanager
def provider(**options: Any) -> Iterator[Provider]:
    def answer(received: Received) -> Answered:
        made.is_open.wait(20)
        asked = json.loads(received.body)
        usage = {
            "prompt_tokens": made.prompt_tokens,
            "completion_tokens": made.completion_tokens,
            "total_tokens": made.prompt_tokens + made.completion_tokens,
        }
        head = {"id": f"chatcmpl-{next(_numbers):029d}", "created": int(time.time()), "model": asked["model"]}
        if asked.get("stream"):
            delta = {"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": None}
            pieces = [
                {**head, "object": "chat.completion.chunk", "choices": [delta]},
                {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage},
            ]
            chunks = [f"data: {json.dumps(piece)}\n\n".encode() for piece in pieces]
            return Answered([*chunks, b"data: [DONE]\n\n"], content_type="text/event-stream")
        message = {"role": "assistant", "content": "Hello"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        body = {**head, "object": "chat.completion", "choices": choices, "usage": usage}
        return Answered([json.dumps(body).encode()])

    with serving(answer) as server:
        made = Provider(server, **options)
        made.is_open.set()
        yield made


def budget(org: Organization, limit: str, **fields: Any) -> Budget:
    """A budget that stops; the processes of this machine know it at once."""
    given: dict[str, Any] = {
        "name": f"Budget {next(_numbers)}",
        "limit": Decimal(limit),
        "mode": Budget.Mode.STOP,
        "starts_on": "2026-01-01",
    } | fields
    made = Budget.objects.create(org=org, **given)
    stop_list.publish()
    return made
