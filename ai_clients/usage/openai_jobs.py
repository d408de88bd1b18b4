"""Reads OpenAI's jobs, which are made by one request and told by later ones: runs, turns, evaluations, videos, training.

API reference: Runs, Agent sessions (turns), Evals (runs), Videos, Fine-tuning (jobs). Each function takes the body of an
answer, an object or a list of them, or the events of a stream, and returns one `Answer` for each job that may be billed.
A job that has not ended is `pending`; its last answer `completes` it. Pure; no Django.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ai_clients.usage.answer import NO_USAGE, Answer, count, decoder, has_usage, text, usage_block
from ai_clients.usage.objects import block, objects
from ai_clients.usage.openai_usage import error_code
from usage_billing.recording.event import Status

STATUS: dict[str, Status] = {
    "queued": "pending",
    "validating_files": "pending",
    "in_progress": "pending",
    "running": "pending",
    "paused": "pending",
    "waiting": "pending",
    "requires_action": "pending",
    "cancelling": "pending",
    "completed": "succeeded",
    "succeeded": "succeeded",
    "incomplete": "succeeded",
    "failed": "failed",
    "cancelled": "aborted",
    "canceled": "aborted",
    "expired": "aborted",
}
"""The `status` of a job (SDK types `RunStatus`, `Turn`, `Video`, `FineTuningJob`) → that of its record."""

RUN_TOOLS = ("code_interpreter", "file_search")
"""Tools that a run is billed for beside its tokens; its object does not tell whether they ran."""


class _Job(msgspec.Struct):
    """The few fields of a job that are read. They may have any type: other hosts imitate OpenAI's answers."""

    id: Any = None
    object: Any = None
    model: Any = None
    status: Any = None
    error: Any = None
    last_error: Any = None
    usage: msgspec.Raw = NO_USAGE
    tools: Any = None
    per_model_usage: Any = None
    seconds: Any = None
    size: Any = None
    trained_tokens: Any = None
    agent: Any = None
    subagent_id: Any = None


class _TurnEvent(msgspec.Struct):
    type: Any = None
    turn: msgspec.Raw = NO_USAGE
    session: msgspec.Raw = NO_USAGE
    usage: msgspec.Raw = NO_USAGE


_decode_job = decoder(_Job)
_decode_event = decoder(_TurnEvent)


def read_runs(body: bytes) -> list[Answer]:
    """The answers of a run or a list of runs (SDK type `Run`). A run step's usage is part of its run's: no answer."""
    return [_run(job) for job in _jobs(body, "thread.run")]


def read_run_events(events: Iterable[bytes]) -> list[Answer]:
    """The answers of a run's stream (SDK type `AssistantStreamEvent`), from its events' data: the last state of each run."""
    runs: dict[str, Answer] = {}
    for data in events:
        if b'"thread.run"' in data:
            for job in _jobs(data, "thread.run"):
                runs[text(job.id)] = _run(job)
    return list(runs.values())


def read_turns(body: bytes, *, model: str = "") -> list[Answer]:
    """The answers of a session's turn or turns (SDK type `Turn`). A turn does not name its model: `model` is the session's."""
    return [_turn(job, model) for job in _jobs(body, "agent.session.turn")]


def read_turn_events(events: Iterable[bytes], *, model: str = "") -> list[Answer]:
    """The answers of a session's stream (SDK type `AgentSessionEvent`): the last state of each turn.

    `agent.session.created` names the session's model; of an older session, `model` does. A subagent may run another
    model, which nothing names.
    """
    turns: dict[str, Answer] = {}
    for data in events:
        if b'"agent.session.' not in data:
            continue
        event = _decode_event(data)
        if has_usage(event.session):
            model = session_model(bytes(event.session)) or model
        if has_usage(event.turn):
            job = _decode_job(event.turn)
            if not has_usage(job.usage):
                job.usage = event.usage
            turns[text(job.id)] = _turn(job, model)
    return list(turns.values())


def session_model(body: bytes) -> str:
    """The model of an agent session (SDK type `AgentSession`, `agent.model`); empty if the body names none."""
    agent = _decode_job(body).agent
    return text(agent.get("model")) if isinstance(agent, dict) else ""


def read_eval_runs(body: bytes) -> list[Answer]:
    """The answers of evaluation runs (SDK type `RunRetrieveResponse`, `per_model_usage`): one for each model of a run."""
    return [answer for job in _jobs(body, "eval.run") for answer in _eval_run(job)]


def read_videos(body: bytes) -> list[Answer]:
    """The answers of video jobs (SDK type `Video`): seconds of video. `context` has the size, which affects the price."""
    return [_video(job) for job in _jobs(body, "video")]


def read_fine_tuning_jobs(body: bytes) -> list[Answer]:
    """The answers of fine-tuning jobs (SDK type `FineTuningJob`): `trained_tokens`, told when the job has ended."""
    return [_fine_tuning(job) for job in _jobs(body, "fine_tuning.job")]


def _jobs(body: bytes, kind: str) -> list[_Job]:
    """The body's objects of this kind. Raises `msgspec.DecodeError` if the body is not a JSON object."""
    return [job for raw in objects(body) if (job := _decode_job(bytes(raw))).object == kind]


def _answer(job: _Job, **fields: Any) -> Answer:
    status = STATUS.get(text(job.status), "succeeded")
    error = error_code(job.error) or error_code(job.last_error)
    common = {"id": text(job.id), "model": text(job.model), "status": status, "error_code": error}
    return Answer(**{**common, "completes": status != "pending", **fields})


def _run(job: _Job) -> Answer:
    declared = (
        {text(tool.get("type")) for tool in job.tools if isinstance(tool, dict)} if _is_list(job.tools) else set()
    )
    context = {"tools": "unknown-use"} if declared & {*RUN_TOOLS} else {}
    return _answer(job, usage=usage_block(job.usage), context=context)


def _turn(job: _Job, model: str) -> Answer:
    return _answer(job, usage=usage_block(job.usage), model="" if text(job.subagent_id) else model)


def _eval_run(job: _Job) -> Sequence[Answer]:
    used = [each for each in job.per_model_usage if isinstance(each, dict)] if _is_list(job.per_model_usage) else []
    if not used:
        return [_answer(job)]
    return [
        _answer(
            job,
            id=f"{text(job.id)}:{text(each.get('model_name'))}",
            model=text(each.get("model_name")),
            usage=block(
                {
                    "prompt_tokens": each.get("prompt_tokens"),
                    "completion_tokens": each.get("completion_tokens"),
                    "total_tokens": each.get("total_tokens"),
                    "prompt_tokens_details": {"cached_tokens": each.get("cached_tokens")},
                }
            ),
        )
        for each in used
    ]


def _video(job: _Job) -> Answer:
    seconds = job.seconds if isinstance(job.seconds, str | int) and not isinstance(job.seconds, bool) else ""
    units = {"output_video_seconds": int(seconds)} if str(seconds).isdecimal() and len(str(seconds)) < 10 else {}
    answer = _answer(job, context={"size": text(job.size)} if text(job.size) else {})
    return msgspec.structs.replace(answer, units=units) if answer.status == "succeeded" else answer


def _fine_tuning(job: _Job) -> Answer:
    trained = count(job.trained_tokens)
    return _answer(job, units={"trained_tokens": trained} if trained else {})


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
