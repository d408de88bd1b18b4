"""`/metrics`: the recorder's state and the organisations' spend for Prometheus.

The recorder's numbers come from the outbox's files, which all processes of the machine share. So every worker answers
the same, whenever it was started. Those of `spend` come from the ledger.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from ipaddress import ip_address

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from usage_billing import recording
from usage_billing.conf import conf
from usage_billing.ledger import counters
from usage_billing.monitoring import spend
from usage_billing.monitoring.health import age, database_is_reachable, drain_state

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the metrics in the scraper's format; 403 without permission."""
    if not _may_read(request):
        return HttpResponse(
            "Send `Authorization: Bearer` with METRICS_TOKEN or, where none is set, ask from this machine.\n",
            status=403,
            content_type="text/plain; charset=utf-8",
        )
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    is_reachable = database_is_reachable()
    text = encode(_Recorder(is_reachable))
    if is_reachable:
        # OpenMetrics ends each text with this line.
        text = text.removesuffix(b"# EOF\n") + spend.text(encode, content_type)
    return HttpResponse(text, content_type=content_type)


def _may_read(request: HttpRequest) -> bool:
    if token := conf.METRICS_TOKEN:
        sent = request.headers.get("Authorization", "")
        return hmac.compare_digest(sent.encode(), f"Bearer {token}".encode())
    if any(request.META.get(header) for header in FORWARDED):
        return False  # a proxy on this machine asks for another machine
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


class _Recorder(Collector):
    """The recorder's state, and whether the database answers."""

    def __init__(self, is_reachable: bool) -> None:
        self._is_reachable = is_reachable

    def collect(self) -> Iterator[Metric]:
        health, drain = recording.health(), drain_state()
        backlog = health.backlog
        yield _gauge("usage_outbox_readable", "Whether the outbox can be read.", backlog is not None)
        yield _gauge("usage_database_up", "Whether the ledger's database answers.", self._is_reachable)
        if backlog is not None:
            oldest = age(backlog.oldest_at)
            yield _gauge("usage_backlog_events", "Calls that wait in the outbox for the ledger.", backlog.events)
            yield _gauge("usage_backlog_oldest_seconds", "How long the oldest of them has waited.", oldest or 0)
            yield _gauge(
                "usage_rejected_events", "Calls that the ledger rejected; they are kept for a retry.", backlog.rejected
            )
        yield _gauge("usage_outbox_bytes", "Bytes that the outbox takes on the disk.", health.size)
        limit = conf.OUTBOX_MAX_MB * 2**20
        yield _gauge("usage_outbox_limit_bytes", "The outbox's quota; at it, calls are lost and counted.", limit)
        yield _gauge(
            "usage_outboxes_quarantined",
            "Damaged files of the outbox that were moved out of the way.",
            health.quarantined,
        )
        yield _counter("usage_lost_events", "Calls that could not be recorded.", health.lost)
        yield _counter("usage_drained_events", "Calls that left the outbox.", drain.get("drained", 0))
        counted = drain.get("counted", {})
        kept_apart = counted.get(counters.IDS_KEPT_APART, 0)
        yield _counter(
            "usage_ids_kept_apart", "Calls that came with the id of another call but with other usage.", kept_apart
        )
        elsewhere = counted.get(counters.IN_ANOTHER_ORGANIZATION, 0)
        yield _counter(
            "usage_in_another_organization", "Reported calls that another organisation has already.", elsewhere
        )
        unpriced = CounterMetricFamily(
            "usage_unpriced_calls", "Calls that came to the ledger without a known cost, by reason.", labels=["reason"]
        )
        for name, calls in sorted(counted.items()):
            if name.startswith(counters.UNPRICED):
                unpriced.add_metric([name.removeprefix(counters.UNPRICED)], calls)
        yield unpriced
        if drain:
            yield _gauge("usage_drain_failing", "Whether the drain's last attempt failed.", drain.get("failing", False))
            yield _gauge("usage_drain_seen_timestamp_seconds", "When a drain last ran.", drain["seen_at"])
            if drain.get("drained_at"):
                yield _gauge(
                    "usage_drained_timestamp_seconds",
                    "When a drain last moved a call to the ledger.",
                    drain["drained_at"],
                )


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=float(value))


def _counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(name, documentation, value=float(value))
