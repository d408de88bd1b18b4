"""`/healthz`: tells load balancers and monitors whether the service works."""

from __future__ import annotations

import time

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from usage_billing import recording
from usage_billing.conf import conf
from usage_billing.models.database import connection
from usage_billing.recording import state_files


@require_safe
@never_cache
def healthz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 while the database answers and the outbox takes events, else 503; with the recorder's state.

    `backlog`: events that wait; `oldest_s`: age of the oldest, in seconds; `drained`, `rejected`, `lost`: events;
    `quarantined_outboxes`: damaged files; `outbox_bytes`: on disk; `drain_seen_s`: seconds since a drain last ran. All
    are counted over the processes of this machine; null: not known.
    """
    health = recording.health()
    backlog, drain = health.backlog, drain_state()
    is_reachable = database_is_reachable()
    state = {
        "database": "ok" if is_reachable else "away",
        "outbox": "ok" if backlog else "unreadable",
        "backlog": backlog.events if backlog else None,
        "oldest_s": age(backlog.oldest_at) if backlog else None,
        "drained": drain.get("drained", 0),
        "drain_seen_s": age(drain.get("seen_at")),
        "rejected": backlog.rejected if backlog else None,
        "lost": health.lost,
        "quarantined_outboxes": health.quarantined,
        "outbox_bytes": health.size,
    }
    well = is_reachable and backlog is not None
    return JsonResponse({"status": "ok" if well else "failing", **state}, status=200 if well else 503)


def age(moment: float | None) -> int | None:
    """Return whole seconds since a moment (epoch seconds). Never negative: the clock may have been set back."""
    return None if moment is None else max(0, round(time.time() - moment))


def database_is_reachable() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def drain_state() -> state_files.Values:
    """Return the state that this machine's drain noted, and `seen_at`: when it last ran. Empty if none ever ran."""
    state = state_files.drain_state(conf.OUTBOX_PATH)
    try:
        values = state.read()
        return values | {"seen_at": state.path.stat().st_mtime} if values else {}
    except OSError:
        return {}  # the outbox cannot be read either, and that is shown
