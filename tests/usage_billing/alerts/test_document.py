"""The example and the program in docs/alerts.md are what receivers get and can use."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from tests.support import loopback
from tests.support.configure import configure
from tests.support.factories import NOON
from tests.support.loopback import Answered
from tests.usage_billing.alerts.conftest import SECRET, budget, channel
from usage_billing import alerts
from usage_billing.alerts import links
from usage_billing.alerts.messages import compose
from usage_billing.models import AlertDelivery, AlertFiring, AlertRule, Organization

DOCUMENT = Path(__file__).parents[3] / "docs" / "alerts.md"


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return str(found)


@pytest.mark.django_db
def test_the_example_is_a_body_of_ours(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(settings, PUBLIC_URL="https://costs.example.com")
    monkeypatch.setattr(links, "page_sources", [lambda _firing: "/usage/alerts"])
    example = json.loads(block("json"))
    org = Organization.objects.create(
        name="Severny Veter", slug="severny-veter", timezone="Europe/Moscow", language="en"
    )
    limited = budget(org, "100", pk=7)
    firing = AlertFiring.objects.create(
        pk=51, org=org, budget=limited, key="2026-11-01/80", value="83.1", bound="80", began_at=NOON
    )
    firing.refresh_from_db()
    delivery = AlertDelivery(org=org, firing=firing, event="firing", value=firing.value, recipient="a@example.com")
    assert compose(delivery, NOON).body == example


def test_all_kinds_of_rules_and_reasons_of_an_end_are_named() -> None:
    text = DOCUMENT.read_text()
    kinds = re.findall(r"^\| `(\w+)` \|", text.partition("## Rules")[2].partition("## From")[0], re.MULTILINE)
    assert kinds == ["kind", *AlertRule.Kind.values]
    assert [each for each in AlertDelivery.Event.values if f"`alert.{each}`" not in text] == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("private_allowed")
def test_the_program_knows_genuine_messages(org: Organization) -> None:
    with loopback.serving(lambda _: Answered([b"ok"])) as server:
        (delivery,) = alerts.send_test(channel(org, server.url))
    assert delivery.state == "sent"
    received = server.requests[0]
    headers = {name.lower(): value for name, value in received.headers.items()}
    program: dict[str, Any] = {}
    exec(block("python"), program)  # noqa: S102 - it is our own document
    is_genuine: Callable[[str, dict[str, str], bytes], bool] = program["is_genuine"]
    assert is_genuine(SECRET, headers, received.body)
    assert not is_genuine(SECRET, headers, received.body + b" ")
    assert not is_genuine("whsec_" + "A" * 32, headers, received.body)
    assert not is_genuine(SECRET, headers | {"webhook-id": "msg_other"}, received.body)
    old = headers | {"webhook-timestamp": str(int(time.time()) - 600)}
    assert not is_genuine(SECRET, old, received.body)
