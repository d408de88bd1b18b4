"""The endpoints of jobs: work that one request begins and later requests tell of, in any process.

Paths are below the version; `*` stands for an id, `(*)` for that of the job. Sources: the resources of both SDKs.
"""

from __future__ import annotations

import functools
import re
from typing import Literal, NamedTuple

from usage_billing.recording.event import Flavour

Kind = Literal["batch", "message-batch", "run", "eval-run", "video", "fine-tuning", "agent-session", "session", "dream"]
Told = Literal["job", "requests", "events", "input", "started-session"]
"""The contents of the answer: jobs; requests of a session; events of a session; nothing, for it was the session's
input; or the id of a session that it started."""


class JobEndpoint(NamedTuple):
    """The endpoint of a job. `begins`: whether the request makes the job. `job_id`: the job's, if the path has it."""

    kind: Kind
    begins: bool
    told: Told
    job_id: str = ""


class Place(NamedTuple):
    """The path and the API of the records of a kind of job, and of its requests if these have records of their own."""

    path: str
    flavour: Flavour
    path_of_requests: str = ""


PLACES: dict[Kind, Place] = {
    "batch": Place("/batches", "responses"),
    "message-batch": Place("/messages/batches", "messages"),
    "run": Place("/threads/runs", "chat"),
    "eval-run": Place("/evals/runs", "chat", "/evals/runs"),
    "video": Place("/videos", "unknown"),
    "fine-tuning": Place("/fine_tuning/jobs", "unknown"),
    "agent-session": Place("/agents/sessions", "responses", "/agents/sessions/turns"),
    "session": Place("/sessions", "messages", "/sessions/events"),
    "dream": Place("/dreams", "messages"),
}

_BEGINNINGS: tuple[tuple[str, Kind, Told], ...] = (
    ("/batches", "batch", "job"),
    ("/messages/batches", "message-batch", "job"),
    ("/threads/runs", "run", "job"),
    ("/threads/*/runs", "run", "job"),
    ("/evals/*/runs", "eval-run", "job"),
    ("/videos", "video", "job"),
    ("/videos/*/remix", "video", "job"),
    ("/videos/(edits|extensions)", "video", "job"),
    ("/fine_tuning/jobs", "fine-tuning", "job"),
    ("/agents/sessions", "agent-session", "job"),
    ("/agents/automations/*/invocations", "agent-session", "started-session"),
    ("/sessions", "session", "job"),
    ("/deployments/*/run", "session", "started-session"),
    ("/dreams", "dream", "job"),
)
"""POST: the request makes a job."""

_CHANGES: tuple[tuple[str, Kind, Told], ...] = (
    ("/batches/(*)/cancel", "batch", "job"),
    ("/messages/batches/(*)/cancel", "message-batch", "job"),
    ("/threads/*/runs/(*)/(submit_tool_outputs|cancel)", "run", "job"),
    ("/evals/*/runs/(*)(/cancel)?", "eval-run", "job"),
    ("/fine_tuning/jobs/(*)/(cancel|pause|resume)", "fine-tuning", "job"),
    ("/agents/sessions/(*)", "agent-session", "job"),
    ("/agents/sessions/(*)/events", "agent-session", "input"),
    ("/sessions/(*)", "session", "job"),
    ("/sessions/(*)/archive", "session", "job"),
    ("/sessions/(*)/events", "session", "input"),
    ("/dreams/(*)/(archive|cancel)", "dream", "job"),
)
"""POST: the request changes a job, and its answer tells of it."""

_READS: tuple[tuple[str, Kind, Told], ...] = (
    ("/batches(/(*))?", "batch", "job"),
    ("/messages/batches(/(*))?", "message-batch", "job"),
    ("/threads/*/runs(/(*))?", "run", "job"),
    ("/evals/*/runs(/(*))?", "eval-run", "job"),
    ("/videos(/(*))?", "video", "job"),
    ("/fine_tuning/jobs(/(*))?", "fine-tuning", "job"),
    ("/agents/sessions(/(*))?", "agent-session", "job"),
    ("/agents/sessions/(*)/events", "agent-session", "events"),
    ("/agents/sessions/(*)/turns(/*)?", "agent-session", "requests"),
    ("/sessions(/(*))?", "session", "job"),
    ("/sessions/(*)/events", "session", "requests"),
    ("/sessions/(*)/events/stream", "session", "events"),
    ("/sessions/(*)/threads/*/events", "session", "requests"),
    ("/sessions/(*)/threads/*/stream", "session", "events"),
    ("/dreams(/(*))?", "dream", "job"),
)
"""GET: the answer tells of jobs."""


def job_endpoint_of(method: str, path: str) -> JobEndpoint | None:
    """The job endpoint of a request; None for any other. `path`: below the version."""
    if method == "POST":
        return _found(_BEGINNINGS, path, begins=True) or _found(_CHANGES, path)
    return _found(_READS, path) if method == "GET" else None


def _found(templates: tuple[tuple[str, Kind, Told], ...], path: str, *, begins: bool = False) -> JobEndpoint | None:
    for template, kind, told in templates:
        if found := _compiled(template).fullmatch(path):
            return JobEndpoint(kind, begins, told, found.groupdict().get("job") or "")
    return None


@functools.cache
def _compiled(template: str) -> re.Pattern[str]:
    return re.compile(template.replace("(*)", "(?P<job>[^/]+)").replace("*", "[^/]+"))
