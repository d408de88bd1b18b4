"""A Celery application whose task makes a call. Its broker is a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django
from celery import Celery

django.setup()

FOLDER = Path(os.environ.get("BROKER", "."))
app: Any = Celery("reliability", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(FOLDER),
        "data_folder_out": str(FOLDER),
        "control_folder": str(FOLDER / "control"),
    },
    worker_max_tasks_per_child=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=False,
)


@app.task(name="call")  # type: ignore[untyped-decorator]
def call(number: int) -> None:
    from tests.support.reliability.caller import Account, Caller
    from usage_billing import usage_context

    with usage_context(org=int(os.environ["ORG"])):
        Caller(Account(Path(os.environ["ACCOUNT"]))).call(number)
