"""What people may write into channels and rules."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from pytest_django import Settings

from tests.support import factories
from tests.support.configure import configure
from tests.usage_billing.alerts.conftest import SECRET, budget, rule
from usage_billing.alerts import clean_channel, clean_rule
from usage_billing.models import AlertChannel, AlertRule, Organization

Kind = AlertRule.Kind
TOKEN = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"
SOUND = [
    ("email", "olga@example.com, petr@example.com", ""),
    ("slack", "https://hooks.slack.com/services/T/B/x", ""),
    ("telegram", "-1001234567890", TOKEN),
    ("telegram", "@costs", TOKEN),
    ("webhook", "https://example.com/hook", SECRET),
    ("webhook", "http://example.com:8080/hook", SECRET),
]
WRONG = [
    ("email", "", "", "target"),
    ("email", "olga@example.com petr@example.com", "", "target"),
    ("email", ",".join(f"a{n}@example.com" for n in range(21)), "", "target"),
    ("slack", "hooks.slack.com/services", "", "target"),
    ("slack", "file:///etc/passwd", "", "target"),
    ("slack", "http://127.0.0.1/", "", "target"),
    ("slack", "http://[::1]/", "", "target"),
    ("webhook", "https://user:password@example.com/", SECRET, "target"),
    ("webhook", "https://example.com/", "secret", "secret"),
    ("telegram", "costs", TOKEN, "target"),
    ("telegram", "-1001", "123/../456", "secret"),
    ("pigeon", "home", "", "kind"),
]


@pytest.mark.parametrize(("kind", "target", "secret"), SOUND)
def test_sound_channels(kind: str, target: str, secret: str) -> None:
    clean_channel(AlertChannel(kind=kind, target=target, secret=secret))


@pytest.mark.parametrize(("kind", "target", "secret", "field"), WRONG)
def test_wrong_channels(kind: str, target: str, secret: str, field: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        clean_channel(AlertChannel(kind=kind, target=target, secret=secret))
    assert [*wrong.value.message_dict] == [field]


def test_private_addresses_where_they_are_allowed(settings: Settings) -> None:
    configure(settings, ALERTS_ALLOW_PRIVATE_ADDRESSES=True)
    clean_channel(AlertChannel(kind="slack", target="http://127.0.0.1/"))


def test_an_unknown_language() -> None:
    with pytest.raises(ValidationError) as wrong:
        clean_channel(AlertChannel(kind="slack", target="https://example.com/", language="xx"))
    assert [*wrong.value.message_dict] == ["language"]


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": Kind.ERRORS, "bound": 5, "scope": {"agent_id": ["a", "b"], "tag.feature": "chat"}, "by": "ai_model"},
        {"kind": Kind.SPEND},
        {"kind": Kind.SILENCE, "bound": 3, "by": "org_id"},
    ],
)
def test_sound_rules(org: Organization, fields: dict[str, Any]) -> None:
    clean_rule(rule(org, **fields))
    clean_rule(rule(org, Kind.BUDGET_SHARE, name="B", bound=80, budget=budget(org, "1")))
    clean_rule(rule(None, Kind.BACKLOG, name="C"))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "weather", "bound": 1}, "kind"),
        ({"kind": Kind.BACKLOG}, "kind"),
        ({"kind": Kind.ERRORS, "bound": 0}, "bound"),
        ({"kind": Kind.SPEND, "bound": -1}, "bound"),
        ({"kind": Kind.ERRORS, "bound": 1, "scope": {"no such": 1}}, "scope"),
        ({"kind": Kind.ERRORS, "bound": 1, "scope": ["agent_id"]}, "scope"),
        ({"kind": Kind.ERRORS, "bound": 1, "scope": {"tag.fea ture": "chat"}}, "scope"),
        ({"kind": Kind.ERRORS, "bound": 1, "scope": {"tag.": "chat"}}, "scope"),
        ({"kind": Kind.ERRORS, "bound": 1, "by": "workflow"}, "by"),
        ({"kind": Kind.SILENCE, "bound": 1, "by": "ai_model"}, "by"),
    ],
)
def test_wrong_rules(org: Organization, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        clean_rule(rule(org, **fields))
    assert [*wrong.value.message_dict] == [field]


def test_another_organisations_budget(org: Organization) -> None:
    foreign = budget(factories.organization(), "1")
    with pytest.raises(ValidationError) as wrong:
        clean_rule(rule(org, Kind.BUDGET_SHARE, bound=80, budget=foreign))
    assert [*wrong.value.message_dict] == ["budget"]
