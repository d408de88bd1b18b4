"""Carries the usage context of `.delay()` and `apply_async()` to the worker, in a header of the message.

Call `install()` in the module that makes the Celery application; producers and workers both import it. The header is
signed with Django's `SECRET_KEY` for the task's id: a header that was forged, or copied from another task, is ignored.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun
from django.core import signing
from django.core.exceptions import ImproperlyConfigured

from usage_billing.conf import has_django_settings
from usage_billing.recording.carrying import as_json, from_json
from usage_billing.recording.context import NOBODY, Attribution, current_attribution, restored

logger = logging.getLogger(__name__)

HEADER = "usage_context"
LONGEST = 8_192
"""Characters of an attribution's JSON. Brokers bound their headers; a longer one travels without its metadata."""
_BLOCK = "usage_context_block"


def install() -> None:
    """Carry contexts from now on; a second call changes nothing. Raise ImproperlyConfigured without Django settings.

    A task without the header is attributed to nobody. One that runs eagerly is part of the code that calls it.
    """
    if not has_django_settings():
        raise ImproperlyConfigured(
            "Contexts travel signed with SECRET_KEY: set DJANGO_SETTINGS_MODULE before install()."
        )
    before_task_publish.connect(_send, weak=False, dispatch_uid=f"{__name__}.send")
    task_prerun.connect(_begin, weak=False, dispatch_uid=f"{__name__}.begin")
    task_postrun.connect(_end, weak=False, dispatch_uid=f"{__name__}.end")


def _send(*, headers: dict[str, Any], **_: object) -> None:
    headers.pop(HEADER, None)
    attribution = current_attribution()
    if attribution == NOBODY:
        return
    carried = as_json(attribution)
    if len(json.dumps(carried)) > LONGEST:
        carried.pop("metadata", None)
    headers[HEADER] = _signer(headers["id"]).sign_object(carried)


def _begin(*, task_id: str, task: Any, **_: object) -> None:
    signed = task.request.get(HEADER)
    if signed is None and task.request.get("is_eager"):
        return
    block = restored(NOBODY if signed is None else _read(signed, task_id))
    block.__enter__()
    # The request is of this run alone; `task_postrun` comes while it is the current one, also after an exception.
    setattr(task.request, _BLOCK, block)


def _end(*, task: Any, **_: object) -> None:
    block = task.request.get(_BLOCK)
    if block is not None:
        block.__exit__()


def _read(signed: Any, task_id: str) -> Attribution:
    try:
        carried = _signer(task_id).unsign_object(signed)
    except Exception as error:  # noqa: BLE001 - anyone who reaches the broker writes headers; the task runs without it
        logger.warning("The usage context of task %s is not valid (%s); its AI calls are unattributed.", task_id, error)
        return NOBODY
    return from_json(carried)


def _signer(task_id: str) -> signing.Signer:
    return signing.Signer(salt=f"{__name__}:{task_id}")
