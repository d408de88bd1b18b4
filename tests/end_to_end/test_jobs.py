"""Work that ends later, through the SDKs over real HTTP: charged once, to whoever began it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from openai import APITimeoutError

from ai_clients import Anthropic, OpenAI
from tests.support import factories, wire_cases
from tests.support.scripted_provider import Script, serving
from usage_billing import usage_context
from usage_billing.models import UsageRecord

pytestmark = [
    pytest.mark.django_db,
    # The SDK warns of the Assistants and Sora APIs; they still answer, and bill.
    pytest.mark.filterwarnings("ignore:The (Assistants|Sora) API is:DeprecationWarning"),
]

Drained = Callable[[], int]


@contextmanager
def openai(script: Script) -> Iterator[OpenAI]:
    with serving(script) as address, OpenAI(api_key="k", base_url=f"{address}/v1", max_retries=0) as client:
        yield client


@contextmanager
def anthropic(script: Script) -> Iterator[Anthropic]:
    with serving(script) as address, Anthropic(api_key="k", base_url=address, max_retries=0) as client:
        yield client


def records() -> list[tuple[str, str, str, Decimal | None]]:
    """Agent, endpoint, model and USD of each record."""
    fields = ("agent_id", "endpoint", "ai_model", "cost_usd")
    return sorted(UsageRecord.objects.values_list(*fields), key=lambda row: row[:3])


def jsonl(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


# ── Batches ──────────────────────────────────────────────────────────────────────────────────────────────────────

BATCH: dict[str, Any] = {
    "id": "batch_6a1b2c3d4e5f60718293",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "input_file_id": "file-input",
    "completion_window": "24h",
    "created_at": 1,
    "status": "validating",
    "model": "gpt-4.1-mini",
}
ENDED: dict[str, Any] = {
    **BATCH,
    "status": "completed",
    "output_file_id": "file-output",
    "request_counts": {"total": 2, "completed": 2, "failed": 0},
    "usage": {
        "input_tokens": 2000,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 200,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 2200,
    },
}


def line(number: int) -> dict[str, Any]:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    answer = wire_cases.chat("gpt-4.1-mini", usage) | {"id": f"chatcmpl-{number:029d}"}
    response = {"status_code": 200, "request_id": "r", "body": answer}
    return {"id": f"batch_req_{number:030d}", "custom_id": str(number), "response": response, "error": None}


def test_an_openai_batch_is_charged_to_its_creator_and_read_by_a_job_without_a_context(drained: Drained) -> None:
    org, other = factories.organization(), factories.organization()
    script: dict[str, Any] = {"POST /v1/batches": BATCH, "GET /v1/batches/batch_6a1b2c3d4e5f60718293": BATCH}
    with openai(script) as client:
        with usage_context(org=org, agent_id="nightly"):
            client.batches.create(input_file_id="file-input", endpoint="/v1/chat/completions", completion_window="24h")
        client.batches.retrieve(BATCH["id"])
        drained()
        record = UsageRecord.objects.get()
        assert (record.request_id, record.org, record.status) == (BATCH["id"], org, "pending")
        assert (record.price_source, record.ai_model) == ("unpriced:pending", "gpt-4.1-mini")

        script["GET /v1/batches/batch_6a1b2c3d4e5f60718293"] = ENDED
        with usage_context(org=other):
            client.batches.retrieve(BATCH["id"])
        drained()
        # OpenAI, Pricing, Batch: 2000 × 0.20 + 200 × 0.80 per million
        assert records() == [("nightly", "/v1/batches", "gpt-4.1-mini", Decimal("0.00056"))]

        script["GET /v1/files/file-output/content"] = jsonl(line(1), line(2))
        client.files.content("file-output").read()
        with usage_context(org=other):
            client.files.content("file-output").read()
    drained()
    assert records() == [
        ("nightly", "/v1/batches", "gpt-4.1-mini", Decimal(0)),
        ("nightly", "/v1/chat/completions", "gpt-4.1-mini", Decimal("0.00028")),
        ("nightly", "/v1/chat/completions", "gpt-4.1-mini", Decimal("0.00028")),
    ]
    assert {record.org_id for record in UsageRecord.objects.all()} == {org.pk}
    call_command("check_usage")


def test_batches_are_completed_by_a_list_of_them(drained: Drained) -> None:
    org = factories.organization()
    listed = {"object": "list", "data": [ENDED], "has_more": False, "first_id": BATCH["id"], "last_id": BATCH["id"]}
    with openai({"POST /v1/batches": BATCH, "GET /v1/batches": listed}) as client:
        list(client.batches.list())  # drained before the create
        drained()
        with usage_context(org=org, agent_id="nightly"):
            client.batches.create(input_file_id="file-input", endpoint="/v1/chat/completions", completion_window="24h")
        drained()
    assert records() == [("nightly", "/v1/batches", "gpt-4.1-mini", Decimal("0.00056"))]
    assert UsageRecord.objects.get().org == org
    call_command("check_usage")


def test_a_batch_that_is_refused_is_a_failed_call(drained: Drained) -> None:
    with openai({}) as client, pytest.raises(Exception, match="404"):
        client.batches.create(input_file_id="file-x", endpoint="/v1/responses", completion_window="24h")
    drained()
    record = UsageRecord.objects.get()
    assert (record.status, record.cost_usd, record.endpoint) == ("failed", 0, "/v1/batches")


MESSAGE_BATCH: dict[str, Any] = {
    "id": "msgbatch_013Zva2CMHLNnXjNJJKqJ2EF",
    "type": "message_batch",
    "processing_status": "in_progress",
    "request_counts": {"processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
    "created_at": "2026-11-18T00:00:00Z",
    "expires_at": "2026-11-19T00:00:00Z",
    **dict.fromkeys(("archived_at", "cancel_initiated_at", "ended_at", "results_url")),
}


@pytest.mark.parametrize("beta", [False, True])
def test_an_anthropic_batch_is_charged_to_its_creator(drained: Drained, beta: bool) -> None:
    org = factories.organization()
    path = f"/v1/messages/batches/{MESSAGE_BATCH['id']}"
    message = wire_cases.message("claude-haiku-4-5", {"input_tokens": 1000, "output_tokens": 100})
    script: dict[str, Any] = {"POST /v1/messages/batches": MESSAGE_BATCH}
    with anthropic(script) as client:
        batches = client.beta.messages.batches if beta else client.messages.batches
        with usage_context(org=org, agent_id="nightly"):
            batches.create(requests=[])
        counts = {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 1}
        url = client.base_url.join(f"{path}/results")
        ended = {"processing_status": "ended", "request_counts": counts, "results_url": str(url)}
        script[f"GET {path}"] = MESSAGE_BATCH | ended
        batches.retrieve(MESSAGE_BATCH["id"])
        drained()
        assert UsageRecord.objects.get().price_source == "unpriced:results-not-read"
        results = [{"type": "succeeded", "message": message}, {"type": "expired"}]
        script[f"GET {path}/results"] = jsonl(*({"custom_id": str(n), "result": r} for n, r in enumerate(results)))
        assert len(list(batches.results(MESSAGE_BATCH["id"]))) == 2
    drained()
    # Anthropic, Batch processing: 1000 × 0.50 + 100 × 2.50 per million
    assert records() == [
        ("nightly", "/v1/messages", "", Decimal(0)),
        ("nightly", "/v1/messages", "claude-haiku-4-5", Decimal("0.00075")),
        ("nightly", "/v1/messages/batches", "", Decimal(0)),
    ]
    assert {record.org_id for record in UsageRecord.objects.all()} == {org.pk}
    call_command("check_usage")


# ── Runs and sessions of OpenAI ──────────────────────────────────────────────────────────────────────────────────

RUN: dict[str, Any] = {
    "id": "run_6a1b2c3d4e5f60718293",
    "object": "thread.run",
    "thread_id": "thread_1",
    "assistant_id": "asst_1",
    "model": "gpt-4.1-mini",
    "status": "queued",
    "tools": [],
    "usage": None,
}
RUN_ENDED = {
    **RUN,
    "status": "completed",
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}
RUN_COST = Decimal("0.00056")  # OpenAI, Pricing: 1000 × 0.40 + 100 × 1.60 per million


def test_a_run_is_pending_until_somebody_fetches_its_end(drained: Drained) -> None:
    org = factories.organization()
    script: dict[str, Any] = {
        "POST /v1/threads/thread_1/runs": RUN,
        f"GET /v1/threads/thread_1/runs/{RUN['id']}": {**RUN, "status": "in_progress"},
    }
    with openai(script) as client:
        runs = client.beta.threads.runs
        with usage_context(org=org, agent_id="nightly"):
            runs.create("thread_1", assistant_id="asst_1")
        runs.retrieve(RUN["id"], thread_id="thread_1")
        drained()
        assert UsageRecord.objects.get().price_source == "unpriced:pending"
        script[f"GET /v1/threads/thread_1/runs/{RUN['id']}"] = RUN_ENDED
        for _ in range(2):
            runs.retrieve(RUN["id"], thread_id="thread_1")
    drained()
    assert records() == [("nightly", "/v1/threads/runs", "gpt-4.1-mini", RUN_COST)]
    call_command("check_usage")


def test_a_streamed_run_that_needs_tools_is_one_call(drained: Drained) -> None:
    def events(*states: str) -> list[dict[str, Any]]:
        return [
            {"event": f"thread.run.{state}", "data": RUN_ENDED if state == "completed" else {**RUN, "status": state}}
            for state in states
        ]

    script = {
        "POST /v1/threads/runs": events("created", "in_progress", "requires_action"),
        f"POST /v1/threads/thread_1/runs/{RUN['id']}/submit_tool_outputs": events("in_progress", "completed"),
    }
    with openai(script) as client, usage_context(agent_id="nightly"):
        list(client.beta.threads.create_and_run(assistant_id="asst_1", stream=True))
        drained()
        assert records() == [("nightly", "/v1/threads/runs", "gpt-4.1-mini", None)]
        outputs = client.beta.threads.runs.submit_tool_outputs
        list(outputs(RUN["id"], thread_id="thread_1", tool_outputs=[], stream=True))
    drained()
    assert records() == [("nightly", "/v1/threads/runs", "gpt-4.1-mini", RUN_COST)]


def turn(number: int, **fields: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 100,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1100,
    }
    common = {"object": "agent.session.turn", "agent_id": "agent_1", "session_id": "asess_1", "created_at": 1}
    return {"id": f"turn_{number:020d}", "status": "completed", "usage": usage, **common, **fields}


AGENT_SESSION: dict[str, Any] = {
    "id": "asess_6a1b2c3d4e5f60718293",
    "object": "agent.session",
    "agent": {"id": "agent_1", "model": "gpt-5-mini"},
    "status": "idle",
    "usage": None,
}


def test_the_turns_of_an_agent_session_are_charged_to_whoever_began_it(drained: Drained) -> None:
    path = f"/v1/agents/sessions/{AGENT_SESSION['id']}"
    stream = [
        {"type": "agent.session.turn.completed", "event_id": "e1", "turn_id": turn(1)["id"], "turn": turn(1)},
        {
            "type": "agent.session.turn.completed",
            "event_id": "e2",
            "turn_id": "t",
            "turn": turn(2, subagent_id="sub_1"),
        },
    ]
    script = {
        "POST /v1/agents/sessions": AGENT_SESSION,
        f"POST {path}/events": {},
        f"GET {path}/events": stream,
        f"GET {path}/turns": {"object": "list", "data": [turn(1), turn(3)], "has_more": False},
    }
    with openai(script) as client:
        sessions = client.beta.agents.sessions
        with usage_context(agent_id="nightly"):
            sessions.create(environment={"type": "none"}, agent={"model": "gpt-5-mini"}, input="Hello")
        sessions.events.create(AGENT_SESSION["id"], events=[])
        list(sessions.events.stream(AGENT_SESSION["id"]))
        list(sessions.turns.list(AGENT_SESSION["id"]))
    drained()
    # OpenAI, Pricing: 1000 × 0.25 + 100 × 2 per million; nothing names the model of a subagent
    assert records() == [
        ("nightly", "/v1/agents/sessions", "gpt-5-mini", Decimal(0)),
        ("nightly", "/v1/agents/sessions/turns", "", None),
        ("nightly", "/v1/agents/sessions/turns", "gpt-5-mini", Decimal("0.00045")),
        ("nightly", "/v1/agents/sessions/turns", "gpt-5-mini", Decimal("0.00045")),
    ]
    call_command("check_usage")


def test_a_streamed_agent_session_tells_itself_and_its_turns(drained: Drained) -> None:
    created = {"type": "agent.session.created", "event_id": "e0", "session": AGENT_SESSION}
    ended = {"type": "agent.session.turn.completed", "event_id": "e1", "turn_id": "t", "turn": turn(1)}
    with openai({"POST /v1/agents/sessions": [created, ended]}) as client, usage_context(agent_id="nightly"):
        options: dict[str, Any] = {"environment": {"type": "none"}, "agent": {"model": "gpt-5-mini"}, "input": "Hello"}
        list(client.beta.agents.sessions.create(**options, stream=True))
    drained()
    assert records() == [
        ("nightly", "/v1/agents/sessions", "gpt-5-mini", Decimal(0)),
        ("nightly", "/v1/agents/sessions/turns", "gpt-5-mini", Decimal("0.00045")),
    ]


def test_a_run_of_an_evaluation_has_a_record_for_each_model(drained: Drained) -> None:
    counts = {
        "invocation_count": 2,
        "cached_tokens": 0,
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "total_tokens": 1100,
    }
    run = {"id": "evalrun_6a1b2c3d4e5f60718293", "object": "eval.run", "status": "queued", "model": "gpt-4.1-mini"}
    used = [{"model_name": model, **counts} for model in ("gpt-4.1-mini", "gpt-4.1")]
    script = {
        "POST /v1/evals/eval_1/runs": {**run, "per_model_usage": None},
        f"GET /v1/evals/eval_1/runs/{run['id']}": {**run, "status": "completed", "per_model_usage": used},
    }
    with openai(script) as client:
        with usage_context(agent_id="nightly"):
            client.evals.runs.create("eval_1", data_source={"type": "jsonl", "source": {"type": "file_id", "id": "f"}})
        for _ in range(2):
            client.evals.runs.retrieve(run["id"], eval_id="eval_1")
    drained()
    assert records() == [
        ("nightly", "/v1/evals/runs", "", Decimal(0)),
        ("nightly", "/v1/evals/runs", "gpt-4.1", Decimal("0.0028")),
        ("nightly", "/v1/evals/runs", "gpt-4.1-mini", RUN_COST),
    ]


@pytest.mark.parametrize("make", ["create", "remix", "edit", "extend"])
def test_a_video_keeps_its_seconds_and_size(drained: Drained, make: str) -> None:
    video: dict[str, Any] = {
        "id": "video_6a1b2c3d4e5f60718293",
        "object": "video",
        "model": "sora-2",
        "status": "queued",
        "progress": 0,
    }
    ended = {**video, "status": "completed", "seconds": "8", "size": "1280x720"}
    paths = ("/v1/videos", "/v1/videos/video_1/remix", "/v1/videos/edits", "/v1/videos/extensions")
    script: dict[str, Any] = {f"POST {path}": video for path in paths}
    with openai(script | {f"GET /v1/videos/{video['id']}": ended}) as client:
        with usage_context(agent_id="nightly"):
            match make:
                case "create":
                    client.videos.create(prompt="A desk", model="sora-2")
                case "remix":
                    client.videos.remix("video_1", prompt="A desk")
                case "edit":
                    client.videos.edit(prompt="A desk", video=("a.mp4", b"MP4"))
                case _:
                    client.videos.extend(prompt="A desk", seconds="4", video=("a.mp4", b"MP4"))
        client.videos.retrieve(video["id"])
    drained()
    record = UsageRecord.objects.get()
    assert (record.agent_id, record.endpoint, record.ai_model) == ("nightly", "/v1/videos", "sora-2")
    assert record.usage == {"units": {"output_video_seconds": 8}}
    assert record.response_metadata["context"] == {"size": "1280x720"}
    if record.cost_usd is None:
        assert record.price_source.startswith("unpriced:unknown-unit")


def test_a_fine_tuning_job_keeps_its_trained_tokens(drained: Drained) -> None:
    job = {"id": "ftjob-6a1b2c3d4e5f60718293", "object": "fine_tuning.job", "model": "gpt-4.1-mini", "status": "queued"}
    ended = {**job, "status": "succeeded", "trained_tokens": 5000}
    script = {"POST /v1/fine_tuning/jobs": job, f"GET /v1/fine_tuning/jobs/{job['id']}": ended}
    with openai(script) as client:
        with usage_context(agent_id="nightly"):
            client.fine_tuning.jobs.create(model="gpt-4.1-mini", training_file="file-1")
        client.fine_tuning.jobs.retrieve(job["id"])
    drained()
    record = UsageRecord.objects.get()
    assert (record.agent_id, record.usage, record.status) == (
        "nightly",
        {"units": {"trained_tokens": 5000}},
        "succeeded",
    )


# ── Managed agents of Anthropic ──────────────────────────────────────────────────────────────────────────────────

SESSION_ID = "sesn_011CZkZ5b3x2ABcDeFgHiJkL"
SESSION: dict[str, Any] = {
    "id": SESSION_ID,
    "type": "session",
    "status": "idle",
    "agent": {"id": "agent_1", "type": "agent", "model": {"id": "claude-haiku-4-5"}},
    "usage": {},
}
HAIKU_COST = Decimal("0.0015")  # Anthropic, Pricing: 1000 × 1 + 100 × 5 per million


def span(number: int) -> dict[str, Any]:
    usage = {
        "input_tokens": 1000,
        "output_tokens": 100,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }
    common = {"model_request_start_id": f"start_{number}", "processed_at": "2026-11-18T00:00:00Z", "is_error": False}
    return {"id": f"sevt_{number:022d}", "type": "span.model_request_end", "model_usage": usage, **common}


def test_the_model_requests_of_a_managed_session_are_charged_to_whoever_began_it(drained: Drained) -> None:
    org = factories.organization()
    path = f"/v1/sessions/{SESSION_ID}"
    sums = {"input_tokens": 3000, "output_tokens": 300, "list_cost": {"amount": "1", "currency": "USD"}}
    script = {
        "POST /v1/sessions": SESSION,
        f"POST {path}/events": {"data": []},
        f"GET {path}/events/stream": [span(1), span(2)],
        f"GET {path}/events": {"data": [span(1), span(2)], "next_page": None},
        f"GET {path}": {**SESSION, "usage": sums},
    }
    with anthropic(script) as client:
        sessions = client.beta.sessions
        with usage_context(org=org, agent_id="nightly"):
            sessions.create(agent="agent_1", environment_id="env_1")
        sessions.events.send(SESSION_ID, events=[])
        list(sessions.events.stream(SESSION_ID))
        list(sessions.events.list(SESSION_ID))
        drained()
        assert records() == [
            ("nightly", "/v1/sessions", "claude-haiku-4-5", Decimal(0)),
            ("nightly", "/v1/sessions/events", "claude-haiku-4-5", HAIKU_COST),
            ("nightly", "/v1/sessions/events", "claude-haiku-4-5", HAIKU_COST),
        ]
        sessions.retrieve(SESSION_ID)
    drained()
    record = UsageRecord.objects.get(request_id=SESSION_ID)
    assert record.cost_usd == HAIKU_COST  # the third request, which nobody has seen
    assert record.response_metadata["list_cost_usd"] == "0.01"
    assert {record.org_id for record in UsageRecord.objects.all()} == {org.pk}
    call_command("check_usage")


def test_a_long_stream_of_a_session_is_recorded_as_it_comes(drained: Drained) -> None:
    events = [each for number in range(3000) for each in ({"type": "agent.message", "id": "m" * 2000}, span(number))]
    with anthropic({f"GET /v1/sessions/{SESSION_ID}/events/stream": events}) as client:
        list(client.beta.sessions.events.stream(SESSION_ID))
    drained()
    assert UsageRecord.objects.count() == 3000


def test_input_to_a_session_that_was_begun_elsewhere_leaves_a_record(drained: Drained) -> None:
    script: dict[str, Any] = {f"POST /v1/sessions/{SESSION_ID}/events": {"data": []}}
    with anthropic(script) as client, usage_context(agent_id="sender"):
        client.beta.sessions.events.send(SESSION_ID, events=[])
    drained()
    record = UsageRecord.objects.get()
    assert (record.agent_id, record.request_id, record.price_source) == ("sender", SESSION_ID, "unpriced:pending")


def test_a_session_that_a_deployment_started_is_recorded(drained: Drained) -> None:
    run = {"id": "drun_1", "type": "deployment_run", "session_id": SESSION_ID, "error": None}
    script = {
        "POST /v1/deployments/dep_1/run": run,
        f"GET /v1/sessions/{SESSION_ID}/events/stream": [span(1)],
        f"GET /v1/sessions/{SESSION_ID}": SESSION,
    }
    with anthropic(script) as client:
        with usage_context(agent_id="nightly"):
            client.beta.deployments.run("dep_1")
        list(client.beta.sessions.events.stream(SESSION_ID))
        client.beta.sessions.retrieve(SESSION_ID)
    drained()
    assert records() == [
        ("nightly", "/v1/sessions", "claude-haiku-4-5", Decimal(0)),
        ("nightly", "/v1/sessions/events", "claude-haiku-4-5", HAIKU_COST),
    ]


def test_a_dream_is_completed_by_a_fetch(drained: Drained) -> None:
    dream: dict[str, Any] = {
        "id": "drm_6a1b2c3d4e5f60718293",
        "type": "dream",
        "status": "pending",
        "model": {"id": "claude-haiku-4-5"},
    }
    usage = {"input_tokens": 1000, "output_tokens": 100}
    script = {
        "POST /v1/dreams": dream,
        f"GET /v1/dreams/{dream['id']}": {**dream, "status": "completed", "usage": usage},
    }
    with anthropic(script) as client:
        with usage_context(agent_id="nightly"):
            client.beta.dreams.create(inputs=[], model="claude-haiku-4-5")
        client.beta.dreams.retrieve(dream["id"])
    drained()
    assert records() == [("nightly", "/v1/dreams", "claude-haiku-4-5", HAIKU_COST)]


# ── Background responses ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["retrieve", "stream", "cancel"])
@pytest.mark.parametrize("create_first", [True, False])
def test_a_background_response_is_one_call_of_its_creator(drained: Drained, way: str, create_first: bool) -> None:
    creator, reader = factories.organization(), factories.organization()
    usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
    done = wire_cases.response("gpt-5-mini", usage, background=True)
    queued = {**done, "status": "queued", "usage": None}
    events = [{"type": "response.completed", "sequence_number": 1, "response": done}]
    path = f"/v1/responses/{done['id']}"
    script: dict[str, Any] = {"POST /v1/responses": queued, f"POST {path}/cancel": done}
    script[f"GET {path}"] = events if way == "stream" else done

    def create(client: OpenAI) -> None:
        with usage_context(org=creator, agent_id="nightly"):
            client.responses.create(model="gpt-5-mini", input="Hello", background=True)
        drained()

    with openai(script) as client:
        if create_first:
            create(client)
        for org in (reader, None):
            with usage_context(org=org):
                match way:
                    case "retrieve":
                        client.responses.retrieve(done["id"])
                    case "stream":
                        list(client.responses.retrieve(done["id"], stream=True))
                    case _:
                        client.responses.cancel(done["id"])
            drained()
            # OpenAI, Pricing: 1000 × 0.25 + 100 × 2 per million, at once
            assert [record.cost_usd for record in UsageRecord.objects.all()] == [Decimal("0.00045")]
        if not create_first:
            assert UsageRecord.objects.get().org == reader
            create(client)
    assert records() == [("nightly", "/v1/responses", "gpt-5-mini", Decimal("0.00045"))]
    assert UsageRecord.objects.get().org == creator
    call_command("check_usage")


def test_a_batch_whose_creation_was_given_up_leaves_a_record(drained: Drained) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the request, and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        client = OpenAI(api_key="k", base_url=url, max_retries=0, timeout=0.3)
        with pytest.raises(APITimeoutError):
            client.batches.create(input_file_id="file-1", endpoint="/v1/responses", completion_window="24h")
    drained()
    record = UsageRecord.objects.get()
    assert (record.status, record.cost_usd, record.endpoint) == ("aborted", None, "/v1/batches")
