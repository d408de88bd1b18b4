"""The callback class of docs/recipes.md reports what LiteLLM does, and loses nothing while the server is away."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer

from tests.recipes.conftest import Run
from tests.recipes.test_recipes import CALLBACK, REQUIREMENTS, recipes
from tests.support.factories import organization
from tests.support.loopback import Answered, Received, of_json, serving
from usage_billing.auth import service_tokens
from usage_billing.ledger import drain
from usage_billing.models import UsageRecord
from usage_billing.recording.outbox import Outbox
from usage_billing.tenancy.scope import EVERYTHING

(RECIPE,) = (recipe for recipe in recipes() if recipe.title == CALLBACK)
CLASS = RECIPE.program.partition("litellm.callbacks = ")[0]
WITH_CALLBACK = f"""{CLASS}
litellm.callbacks = [AICostsLogger(os.environ["AI_COSTS_URL"], os.environ["AI_COSTS_TOKEN"])]
call = {{"messages": [{{"role": "user", "content": "Hello"}}], "max_retries": 0}}
"""


@pytest.mark.django_db(transaction=True)
def test_its_calls_are_records(run: Run, live_server: LiveServer, outbox: Outbox) -> None:
    org = organization()
    _, token = service_tokens.create(scope=EVERYTHING, by="test", name="litellm", org=org, scopes=["ingest"])
    run(RECIPE.program, *REQUIREMENTS[CALLBACK], AI_COSTS_URL=live_server.url, AI_COSTS_TOKEN=token)
    drain.drain_all(Outbox(outbox.path))
    records = UsageRecord.objects.order_by("created_at")
    assert len(records) == RECIPE.records
    assert [(record.ai_provider, record.status) for record in records] == [
        ("openai", "succeeded"),
        ("openai", "succeeded"),
        ("anthropic", "succeeded"),
    ]
    for record in records:
        assert (record.org, record.agent_id, record.request_type) == (org, "translator", "translation")
        assert record.tags == {"feature": "chat", "service_token": "litellm"}
        assert record.cost_usd
        assert record.prompt_tokens
        assert record.completion_tokens


FAILING = f"""{WITH_CALLBACK}
list(litellm.completion(model="openai/gpt-4.1-mini", **call, stream=True))
try:
    litellm.completion(model="openai/gpt-4.1-mini", **call, api_base="http://127.0.0.1:9")
except litellm.InternalServerError:
    pass
else:
    raise AssertionError
"""


def sent(requests: list[Received]) -> list[dict[str, Any]]:
    return [event for request in requests for event in json.loads(request.body)["events"]]


def taken(_received: Received) -> Answered:
    return of_json({"data": {"events": [{"state": "taken", "request_id": "x", "reason": None}]}})


def test_what_is_not_known_is_not_guessed(run: Run) -> None:
    with serving(taken) as server:
        run(FAILING, *REQUIREMENTS[CALLBACK], AI_COSTS_URL=server.url, AI_COSTS_TOKEN="aic_x")
    events = sent(server.requests)
    assert [(event.get("status"), event.get("units"), event.get("usage", "-")) for event in events] == [
        (None, None, None),
        ("aborted", None, "-"),
    ]


ASYNCHRONOUS = f"""{WITH_CALLBACK}
import asyncio


async def main():
    for _ in range(3):
        await litellm.acompletion(model="openai/gpt-4.1-mini", **call)


asyncio.run(main())
"""


def test_a_server_that_is_away_gets_each_call_later(run: Run) -> None:
    with serving(failing_first()) as server:
        run(ASYNCHRONOUS, *REQUIREMENTS[CALLBACK], AI_COSTS_URL=server.url, AI_COSTS_TOKEN="aic_x")
    answered = sent(server.requests[1:])
    assert len({event["request_id"] for event in answered}) == len(answered) == 3
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer aic_x"}


def failing_first() -> Callable[[Received], Answered]:
    answers = iter([of_json({}, 503)])
    return lambda received: next(answers, None) or taken(received)
