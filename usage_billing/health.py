"""`/healthz`: whether the service can do its work, for load balancers and monitors."""

from __future__ import annotations

import time

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from usage_billing import recording


@require_safe
@never_cache
def healthz(_request: HttpRequest) -> JsonResponse:
    """200 while the database answers and the outbox takes events, else 503; with the recorder's state either way.

    `backlog`: events that wait; `oldest_s`: for how many seconds the oldest does; `set_aside`, `lost`: events.
    """
    health = recording.health()
    backlog = health.backlog
    state = {
        "database": _database(),
        "outbox": "ok" if backlog else "unreadable",
        "backlog": backlog.events if backlog else None,
        "oldest_s": round(time.time() - backlog.oldest_at) if backlog and backlog.oldest_at else None,
        "set_aside": backlog.set_aside if backlog else None,
        "lost": health.lost,
    }
    well = state["database"] == "ok" and state["outbox"] == "ok"
    return JsonResponse({"status": "ok" if well else "failing", **state}, status=200 if well else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "away"
    return "ok"
