"""A Celery application whose tasks write down whom an AI call would be charged to. Its broker is a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django
from celery import Celery

django.setup()

from usage_billing import usage_context  # noqa: E402 - after `setup`, as in a project
from usage_billing.recording import celery as usage_celery  # noqa: E402
from usage_billing.recording import current_attribution  # noqa: E402

FOLDER = Path(os.environ["BROKER"])
app: Any = Celery("contexts", broker="filesystem://", backend=f"file://{FOLDER / 'results'}")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(FOLDER),
        "data_folder_out": str(FOLDER),
        "control_folder": str(FOLDER / "control"),
    },
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=False,
    result_chord_retry_interval=0.2,
)
usage_celery.install()


def note(name: str) -> None:
    """Add a line to the account: the name of the call and its organisation."""
    with (FOLDER / "account").open("a") as account:
        account.write(f"{name} {current_attribution().org_id}\n")


@app.task(name="call")  # type: ignore[untyped-decorator]
def call(*name: Any) -> str:
    note(str(name[-1]))
    return str(name[-1])


@app.task(name="fail")  # type: ignore[untyped-decorator]
def fail(name: str) -> None:
    with usage_context(agent_id="inner"):
        note(name)
        raise LookupError(name)


@app.task(name="retried", bind=True, max_retries=2, default_retry_delay=0)  # type: ignore[untyped-decorator]
def retried(task: Any, name: str) -> None:
    note(f"{name}-{task.request.retries}")
    if task.request.retries < 2:
        raise task.retry()


@app.task(name="slow", soft_time_limit=1)  # type: ignore[untyped-decorator]
def slow(name: str) -> None:
    import time

    note(name)
    time.sleep(30)


@app.task(name="parent")  # type: ignore[untyped-decorator]
def parent(name: str) -> None:
    call.delay(f"{name}-child")
    with usage_context(org=77):
        call.delay(f"{name}-other")
        call.apply(args=[f"{name}-eager"])
    note(name)
