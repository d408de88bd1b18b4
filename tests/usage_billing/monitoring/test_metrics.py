"""/metrics: the numbers of the whole machine, for those who may read them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from django.db import OperationalError, connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from tests.support.configure import configure
from tests.support.factories import event
from usage_billing.ledger import drain
from usage_billing.monitoring import spend
from usage_billing.recording import lost, record
from usage_billing.recording.outbox import Outbox

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_read_before() -> None:
    spend.forget()


def read(client: Client, **headers: Any) -> dict[str, float]:
    answer = client.get("/metrics", **headers)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_metrics_of_a_quiet_recorder(client: Client, settings: Settings) -> None:
    configure(settings, OUTBOX_MAX_MB=3)
    metrics = read(client)
    assert metrics.pop("usage_outbox_bytes") > 0
    assert metrics == {
        "usage_outbox_readable": 1,
        "usage_database_up": 1,
        "usage_backlog_events": 0,
        "usage_backlog_oldest_seconds": 0,
        "usage_rejected_events": 0,
        "usage_outbox_limit_bytes": 3 * 2**20,
        "usage_outboxes_quarantined": 0,
        "usage_lost_events_total": 0,
        "usage_drained_events_total": 0,
        "usage_ids_kept_apart_total": 0,
        "usage_in_another_organization_total": 0,
        "usage_budgets_left_out": 0,
    }


def test_metrics_show_backlog_losses_and_drained_events(client: Client, outbox: Outbox) -> None:
    record(event(), event())
    drain.drain_all(Outbox(outbox.path))
    record(event())
    outbox.reject(outbox.read(1)[0][0], "because")
    record(event())
    lost(OSError("no space"), calls=4)
    metrics = read(client)
    names = ("backlog_events", "rejected_events", "lost_events_total", "drained_events_total", "drain_failing")
    assert [metrics[f"usage_{name}"] for name in names] == [1, 1, 4, 2, 0]
    assert metrics["usage_drain_seen_timestamp_seconds"] >= metrics["usage_drained_timestamp_seconds"] - 1


@pytest.mark.django_db(transaction=True)
def test_metrics_count_unpriced_calls_by_reason(client: Client, outbox: Outbox) -> None:
    nothing = msgspec.Raw(b"null")
    new, elsewhere = ("https://api.openai.com/v1/new_thing", "https://api.openai.com/v1/realtime/client_secrets")
    record(
        event(),
        event(model="gpt-99"),
        event(status="aborted", usage=nothing),
        *(event(flavour="unknown", url=url, usage=nothing) for url in (new, new, elsewhere)),
    )
    drain.drain_all(Outbox(outbox.path))
    answer = client.get("/metrics", headers={"accept": "text/plain"}).content.decode()
    counted = {
        sample.labels["reason"]: sample.value
        for family in text_string_to_metric_families(answer)
        for sample in family.samples
        if sample.name == "usage_unpriced_calls_total"
    }
    assert counted == {"unknown-model": 1, "cut-short": 1, "unknown-endpoint": 2, "used-elsewhere": 1}


def test_metrics_say_that_the_database_is_away(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "cursor", away)
    assert read(client)["usage_database_up"] == 0


@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [
        ("", {}, 200),
        ("", {"REMOTE_ADDR": "::1"}, 200),
        ("", {"REMOTE_ADDR": "192.0.2.1"}, 403),
        ("", {"REMOTE_ADDR": ""}, 403),
        ("", {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, 403),
        ("secret", {}, 403),
        ("secret", {"HTTP_AUTHORIZATION": "Bearer wrong"}, 403),
        ("secret", {"HTTP_AUTHORIZATION": "Bearer секрет"}, 403),
        ("secret", {"HTTP_AUTHORIZATION": "Bearer secret", "REMOTE_ADDR": "192.0.2.1"}, 200),
    ],
)
def test_who_may_read_metrics(
    client: Client, settings: Settings, token: str, headers: dict[str, Any], status: int
) -> None:
    configure(settings, METRICS_TOKEN=token)
    assert client.get("/metrics", **headers).status_code == status
