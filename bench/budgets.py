"""What budgets add to a call: the decision alone, and a whole call under a budget beside one without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx2
import openai

Figures = dict[str, float]

DECISIONS = 2_000


def organizations() -> tuple[int, int]:
    """The ids of an organisation without a budget, and of one whose budget never ends."""
    from usage_billing.budgets import published
    from usage_billing.models import Budget, Organization

    free, _ = Organization.objects.get_or_create(slug="free", defaults={"name": "Free"})
    stopped, _ = Organization.objects.get_or_create(slug="stopped", defaults={"name": "Stopped"})
    fields = {"limit": Decimal(10**9), "mode": Budget.Mode.STOP, "starts_on": "2026-01-01"}
    Budget.objects.get_or_create(org=stopped, name="Bench", defaults=fields)
    published.publish()
    return free.pk, stopped.pk


def decisions(_call: Any, _calls: int, _options: Any) -> Figures:
    """Microseconds to decide about a call of 600 bytes: where no budget counts it, and where one does."""
    from ai_clients.call import Call
    from ai_clients.endpoints import endpoint_of
    from bench.calls import PLAIN
    from usage_billing import usage_context

    request = httpx2.Request("POST", "https://api.openai.com/v1/chat/completions", json=PLAIN)
    request.read()
    endpoint = endpoint_of("POST", b"https", b"api.openai.com", None, b"/v1/chat/completions")
    assert endpoint is not None
    figures: Figures = {}
    for name, org in zip(("none", "one"), organizations(), strict=True):
        with usage_context(org=org, agent_id="bench"):
            call = Call(request, endpoint)

            def decide(call: Call = call) -> None:
                assert call.refused() is None
                call._release()

            decide()  # the first one looks into the database
            figures[name] = statistics.median(_microseconds(decide) for _ in range(DECISIONS))
    return figures


def _microseconds(function: Callable[[], None]) -> float:
    began = time.perf_counter_ns()
    function()
    return (time.perf_counter_ns() - began) / 1000


def in_turn_under_a_budget(call: Callable[[Any, Any], None], calls: int, options: Any) -> Figures:
    """Calls of an organisation without a budget and of one with one, in turn; both record."""
    import ai_clients
    from bench.calls import WARM_UP, Sample, added, turns
    from usage_billing import usage_context

    client: openai.OpenAI = ai_clients.OpenAI(**options)
    orgs, samples = organizations(), (Sample(), Sample())
    for number in range(2 * WARM_UP):
        with usage_context(org=orgs[number % 2], agent_id="bench"):
            call(client, Sample())
    for which in turns(calls):
        with usage_context(org=orgs[which], agent_id="bench"):
            call(client, samples[which])
    return added(*samples)
