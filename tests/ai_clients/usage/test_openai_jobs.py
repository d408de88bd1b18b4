"""OpenAI's jobs, from the bodies and streams that tell them; shapes are the SDK's own types."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Video
from openai.types.beta.agents.sessions.turn import Turn
from openai.types.beta.threads import Run
from openai.types.evals import RunRetrieveResponse
from openai.types.fine_tuning import FineTuningJob

from ai_clients.usage import openai_jobs
from ai_clients.usage.answer import Answer

READERS = (
    openai_jobs.read_runs,
    openai_jobs.read_turns,
    openai_jobs.read_eval_runs,
    openai_jobs.read_videos,
    openai_jobs.read_fine_tuning_jobs,
)
TOKENS = {"prompt_tokens": 123, "completion_tokens": 456, "total_tokens": 579}
TURN_TOKENS = {
    "input_tokens": 900,
    "input_tokens_details": {"cached_tokens": 300},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 940,
}


def encoded(value: object) -> bytes:
    return msgspec.json.encode(value)


def usage_of(answer: Answer) -> Any:
    return msgspec.json.decode(answer.usage)


def run(status: str = "completed", **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": "run_1",
        "object": "thread.run",
        "status": status,
        "model": "gpt-4.1-mini",
        "usage": TOKENS if status in ("completed", "failed", "incomplete") else None,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "last_error": {"code": "server_error", "message": "secret"} if status == "failed" else None,
        **fields,
    }
    assert made.keys() <= Run.model_fields.keys()
    return made


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("queued", "pending"),
        ("in_progress", "pending"),
        ("requires_action", "pending"),
        ("cancelling", "pending"),
        ("completed", "succeeded"),
        ("incomplete", "succeeded"),
        ("failed", "failed"),
        ("cancelled", "aborted"),
        ("expired", "aborted"),
    ],
)
def test_run_has_the_status_of_its_record(status: str, expected: str) -> None:
    """SDK type `RunStatus`."""
    (answer,) = openai_jobs.read_runs(encoded(run(status)))
    assert (answer.id, answer.model, answer.status) == ("run_1", "gpt-4.1-mini", expected)
    assert answer.completes == (expected != "pending")
    assert usage_of(answer) == run(status)["usage"]
    assert answer.error_code == ("server_error" if status == "failed" else "")


def test_runs_of_a_list_are_each_an_answer() -> None:
    body = encoded({"object": "list", "data": [run(), run(id="run_2")]})
    assert [answer.id for answer in openai_jobs.read_runs(body)] == ["run_1", "run_2"]


def test_run_step_is_no_answer_of_its_own() -> None:
    """SDK type `RunStep`: its usage is part of its run's."""
    assert openai_jobs.read_runs(encoded({"id": "step_1", "object": "thread.run.step", "usage": TOKENS})) == []


@pytest.mark.parametrize("tool", openai_jobs.RUN_TOOLS)
def test_run_with_a_tool_that_costs_has_an_unknown_use(tool: str) -> None:
    (answer,) = openai_jobs.read_runs(encoded(run(tools=[{"type": tool}])))
    assert answer.context == {"tools": "unknown-use"}


def test_run_events_give_the_last_state_of_each_run() -> None:
    events = [
        encoded(run("queued")),
        encoded({"id": "step_1", "object": "thread.run.step", "usage": TOKENS, "run_id": "run_1"}),
        encoded({"id": "msg_1", "object": "thread.message.delta", "delta": {"content": 'says "thread.run"'}}),
        encoded(run("completed")),
        b"[DONE]",
    ]
    (answer,) = openai_jobs.read_run_events(events)
    assert (answer.status, usage_of(answer)) == ("succeeded", TOKENS)


def turn(status: str = "completed", **fields: Any) -> dict[str, Any]:
    made = {
        "id": "turn_1",
        "object": "agent.session.turn",
        "agent_id": "agent_1",
        "session_id": "sess_1",
        "created_at": 1,
        "status": status,
        "usage": TURN_TOKENS if status == "completed" else None,
        **fields,
    }
    return Turn.model_validate(made).model_dump(mode="json", exclude_unset=True)


def test_turn_has_the_model_of_its_session() -> None:
    session = encoded({"id": "sess_1", "agent": {"id": "agent_1", "model": "gpt-6.1-terra"}})
    model = openai_jobs.session_model(session)
    (answer,) = openai_jobs.read_turns(encoded(turn()), model=model)
    assert (answer.id, answer.model, usage_of(answer)) == ("turn_1", "gpt-6.1-terra", TURN_TOKENS)


def test_turn_of_a_subagent_has_no_known_model() -> None:
    (answer,) = openai_jobs.read_turns(encoded(turn(subagent_id="sub_1")), model="gpt-6.1-terra")
    assert answer.model == ""


def test_turn_events_give_the_last_state_of_each_turn() -> None:
    """SDK type `AgentSessionEvent`."""
    created = {"type": "agent.session.created", "session": {"id": "sess_1", "agent": {"model": "gpt-6.1-terra"}}}
    events = [
        created,
        {"type": "agent.session.turn.created", "turn": turn("queued")},
        {"type": "agent.session.turn.output_text.delta", "delta": "secret", "turn_id": "turn_1"},
        {"type": "agent.session.turn.completed", "turn": turn(usage=None), "usage": TURN_TOKENS},
        {"type": "agent.session.turn.created", "turn": turn("in_progress", id="turn_2")},
    ]
    first, second = openai_jobs.read_turn_events(map(encoded, events))
    assert (first.model, first.status, usage_of(first)) == ("gpt-6.1-terra", "succeeded", TURN_TOKENS)
    assert (second.id, second.status, usage_of(second)) == ("turn_2", "pending", None)


def test_eval_run_is_an_answer_for_each_model() -> None:
    """SDK type `RunRetrieveResponse`, `per_model_usage`."""
    used = {"model_name": "gpt-4.1-mini", "invocation_count": 2, "cached_tokens": 5} | TOKENS
    assert "per_model_usage" in RunRetrieveResponse.model_fields
    body = {
        "id": "evalrun_1",
        "object": "eval.run",
        "status": "completed",
        "per_model_usage": [used, {**used, "model_name": "m"}],
    }
    first, second = openai_jobs.read_eval_runs(encoded(body))
    assert (first.id, first.model) == ("evalrun_1:gpt-4.1-mini", "gpt-4.1-mini")
    assert usage_of(first) == TOKENS | {"prompt_tokens_details": {"cached_tokens": 5}}
    assert (second.id, second.model, second.completes) == ("evalrun_1:m", "m", True)


def test_eval_run_without_usage_is_one_answer() -> None:
    body = {"id": "evalrun_1", "object": "eval.run", "status": "queued", "per_model_usage": None}
    (answer,) = openai_jobs.read_eval_runs(encoded(body))
    assert (answer.id, answer.status, answer.completes) == ("evalrun_1", "pending", False)


def video(status: str, **fields: Any) -> dict[str, Any]:
    made = {"id": "video_1", "object": "video", "created_at": 1, "model": "sora-2", "progress": 100, **fields}
    return Video.model_validate({**made, "status": status, "seconds": "8", "size": "1280x720"}).model_dump(mode="json")


def test_video_tells_its_seconds_and_its_size_when_it_is_complete() -> None:
    (answer,) = openai_jobs.read_videos(encoded(video("completed")))
    assert (answer.units, answer.context, answer.model) == ({"output_video_seconds": 8}, {"size": "1280x720"}, "sora-2")
    (pending,) = openai_jobs.read_videos(encoded(video("queued")))
    assert (pending.units, pending.status) == ({}, "pending")
    (failed,) = openai_jobs.read_videos(encoded(video("failed", error={"code": "moderation_blocked", "message": "m"})))
    assert (failed.units, failed.status, failed.error_code) == ({}, "failed", "moderation_blocked")


def test_fine_tuning_job_tells_its_trained_tokens() -> None:
    assert "trained_tokens" in FineTuningJob.model_fields
    job = {"id": "ftjob-1", "object": "fine_tuning.job", "model": "gpt-4.1-mini-2025-04-14"}
    (answer,) = openai_jobs.read_fine_tuning_jobs(encoded({**job, "status": "succeeded", "trained_tokens": 5768}))
    assert (answer.units, answer.completes) == ({"trained_tokens": 5768}, True)
    (running,) = openai_jobs.read_fine_tuning_jobs(encoded({**job, "status": "running", "trained_tokens": None}))
    assert (running.units, running.status) == ({}, "pending")


odd: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
)
FIELDS = ("id", "model", "status", "error", "usage", "tools", "per_model_usage", "seconds", "size", "trained_tokens")
KINDS = ("thread.run", "agent.session.turn", "eval.run", "video", "fine_tuning.job")


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), odd))
def test_jobs_of_another_shape_raise_nothing(kind: str, fields: dict[str, Any]) -> None:
    body = encoded({**fields, "object": kind})
    assert sum(len(read(body)) for read in READERS) >= 1


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"7"])
def test_jobs_of_no_object_raise_a_decode_error(read: Any, body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read(body)
