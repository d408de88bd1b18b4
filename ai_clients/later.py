"""Reads what an answer tells about jobs: each fact with the id of the job that it belongs to.

A job's record is made by the request that begins it, and completed by any later answer that tells its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from ai_clients.job_endpoints import PLACES, JobEndpoint, Kind
from ai_clients.usage import anthropic_sessions, batch_objects, openai_jobs
from ai_clients.usage.answer import NO_USAGE, Answer, count, decoder, has_usage, payloads, text, usage_block
from ai_clients.usage.objects import block, objects
from usage_billing.recording.event import Flavour, Job

SESSION = Job(is_session=True)
OF_SESSION = "~session"
"""Stands for the session's model, which the ledger knows; a turn of a subagent may run another one."""


class Told(msgspec.Struct, frozen=True):
    """A fact about a job: `origin` is its id. The answer is the job's own, or that of one of its requests."""

    answer: Answer
    origin: str
    path: str
    flavour: Flavour
    job: Job | None = None


class _Session(msgspec.Struct):
    id: Any = None
    object: Any = None
    type: Any = None
    agent: Any = None
    usage: msgspec.Raw = NO_USAGE
    session_id: Any = None


_decode_session = decoder(_Session)


def read_body(endpoint: JobEndpoint, body: bytes) -> list[Told]:
    """Return what a plain body tells. Raises `msgspec.DecodeError` if it is not a JSON object."""
    if endpoint.told == "input":
        return [_own(endpoint.kind, _session_answer(endpoint.job_id), SESSION)]
    if endpoint.told == "started-session":
        started = text(_decode_session(body).session_id)
        return [_own(endpoint.kind, _session_answer(started), SESSION)] if started else []
    if endpoint.told == "requests":
        return _requests(endpoint, _REQUESTS[endpoint.kind](body))
    if endpoint.kind == "eval-run" and is_list(endpoint):
        return []  # a run of an evaluation has requests, which a list would tell without whoever began it
    return list(_JOBS[endpoint.kind](body))


def is_list(endpoint: JobEndpoint) -> bool:
    """Whether the answer lists jobs, which others may have begun long ago."""
    return not endpoint.begins and endpoint.told == "job" and not endpoint.job_id


def read_stream(endpoint: JobEndpoint, lines: Iterable[bytes]) -> list[Told]:
    """Return what the lines of a stream tell. A session's stream is read piece by piece, each as it comes."""
    events = payloads(lines)
    if endpoint.kind == "run":
        return [_own("run", answer) for answer in openai_jobs.read_run_events(events)]
    if endpoint.kind == "session":
        return _requests(endpoint, anthropic_sessions.read_events(events))
    if endpoint.kind == "agent-session":
        sessions = list(_created_sessions(events)) if endpoint.begins else []
        job_id = endpoint.job_id or (sessions[0].origin if sessions else "")
        turns = openai_jobs.read_turn_events(events, model=OF_SESSION)
        return [*sessions, *_requests(endpoint._replace(job_id=job_id), turns)]
    return []


def is_stream_of_session(endpoint: JobEndpoint) -> bool:
    """Whether the answer may be a stream of a session's events, which may go on for hours."""
    return endpoint.kind in ("session", "agent-session") and (endpoint.told == "events" or endpoint.begins)


def _own(kind: Kind, answer: Answer, job: Job | None = None) -> Told:
    """A fact about the job itself. A run that was stopped is billed for the usage that it tells."""
    if answer.status == "aborted" and has_usage(answer.usage):
        answer = msgspec.structs.replace(answer, status="succeeded", error_code=answer.error_code or "stopped")
    return Told(answer, answer.id, PLACES[kind].path, PLACES[kind].flavour, job)


def _requests(endpoint: JobEndpoint, answers: Iterable[Answer]) -> list[Told]:
    """The requests of a session that have ended, or that failed with usage."""
    place = PLACES[endpoint.kind]
    return [
        Told(_of_session(answer, endpoint.kind), endpoint.job_id, place.path_of_requests, place.flavour)
        for answer in answers
        if answer.status != "pending" and answer.id and has_usage(answer.usage)
    ]


def _of_session(answer: Answer, kind: Kind) -> Answer:
    """The answer, without a model if the session's record has it. A subagent's turn says that its model is another."""
    is_of_subagent = kind == "agent-session" and not answer.model
    return msgspec.structs.replace(
        answer,
        model="" if answer.model == OF_SESSION else answer.model,
        context={**answer.context, "model": "of-a-subagent"} if is_of_subagent else answer.context,
        completes=False,
    )


# ── Jobs in a body ───────────────────────────────────────────────────────────────────────────────────────────────


def _batches(body: bytes) -> Iterator[Told]:
    return (_own("batch", answer, job) for answer, job in batch_objects.read_batches(body))


def _message_batches(body: bytes) -> Iterator[Told]:
    return (_own("message-batch", answer, job) for answer, job in batch_objects.read_message_batches(body))


def _eval_runs(body: bytes) -> Iterator[Told]:
    """A run of an evaluation and, once it has ended, the usage of each model, which is a request of the run."""
    place = PLACES["eval-run"]
    for answer in openai_jobs.read_eval_runs(body):
        run, _, model = answer.id.partition(":")
        if model and answer.completes:
            ended = msgspec.structs.replace(answer, completes=False)
            yield Told(ended, run, place.path_of_requests, place.flavour)
        own = msgspec.structs.replace(answer, id=run, model="", usage=NO_USAGE)
        job = Job(has_ended=answer.completes, is_read=bool(model) and answer.completes)
        yield _own("eval-run", own, job)


def _sessions(body: bytes) -> Iterator[Told]:
    """Sessions of either provider, with the sum of their usage so far."""
    for raw in objects(body):
        session = _decode_session(bytes(raw))
        if session.type == "session":
            is_of_one_model = not (isinstance(session.agent, dict) and session.agent.get("multiagent"))
            model = anthropic_sessions.session_model(bytes(raw)) if is_of_one_model else ""
            answer = _session_answer(text(session.id), model, _sum_of_session(session.usage))
            if (list_cost := anthropic_sessions.list_cost(bytes(raw))) is not None:
                answer = msgspec.structs.replace(answer, response={"list_cost_usd": str(list_cost)})
            yield _own("session", answer, SESSION)
        elif session.object == "agent.session":
            model = openai_jobs.session_model(bytes(raw))
            yield _own("agent-session", _session_answer(text(session.id), model, session.usage), SESSION)


def _created_sessions(events: Iterable[bytes]) -> Iterator[Told]:
    """The session that a stream of its first events began (SDK type `AgentSessionCreatedEvent`)."""
    for data in events:
        if b'"agent.session.created"' in data and has_usage(session := _decode_created(data).session):
            yield from _sessions(bytes(session))


def _sum_of_session(usage: msgspec.Raw) -> msgspec.Raw:
    """The token counts of a session (SDK type `BetaManagedAgentsSessionUsage`) as a message's usage block has them."""
    counts = _decode_counts(usage) if has_usage(usage) else {}
    written = counts.get("cache_creation")
    by_lifetime = [count(each) for each in written.values()] if isinstance(written, dict) else []
    known = {name: counts[name] for name in _SESSION_COUNTS if count(counts.get(name))}
    if not known and not any(by_lifetime):
        return NO_USAGE
    return block({**known, "cache_creation_input_tokens": sum(by_lifetime), "cache_creation": written or {}})


_SESSION_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens")
_decode_counts = decoder(dict[str, Any])


class _Created(msgspec.Struct):
    session: msgspec.Raw = NO_USAGE


_decode_created = decoder(_Created)


def _session_answer(id_: str, model: str = "", usage: msgspec.Raw = NO_USAGE) -> Answer:
    return Answer(id=id_, model=model, usage=usage_block(usage), status="pending", completes=True)


def _plain(kind: Kind, read: Callable[[bytes], list[Answer]]) -> Callable[[bytes], Iterator[Told]]:
    def told(body: bytes) -> Iterator[Told]:
        return (_own(kind, answer) for answer in read(body))

    return told


_JOBS: dict[Kind, Callable[[bytes], Iterator[Told]]] = {
    "batch": _batches,
    "message-batch": _message_batches,
    "run": _plain("run", openai_jobs.read_runs),
    "eval-run": _eval_runs,
    "video": _plain("video", openai_jobs.read_videos),
    "fine-tuning": _plain("fine-tuning", openai_jobs.read_fine_tuning_jobs),
    "agent-session": _sessions,
    "session": _sessions,
    "dream": _plain("dream", anthropic_sessions.read_dreams),
}

_REQUESTS: dict[Kind, Callable[[bytes], list[Answer]]] = {
    "agent-session": lambda body: openai_jobs.read_turns(body, model=OF_SESSION),
    "session": anthropic_sessions.read_event_list,
}
