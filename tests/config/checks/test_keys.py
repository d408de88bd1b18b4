"""`check --deploy` reports weak secrets."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import CheckMessage
from pytest_django import Settings

from config.checks import keys
from tests.support.configure import configure

LONG, OTHER = "a" * 32, "b" * 32


def ids(check: Callable[..., list[CheckMessage]]) -> list[str | None]:
    return [message.id for message in check()]


@pytest.fixture(autouse=True)
def production(settings: Settings) -> Settings:
    settings.SECRET_KEY_IS_SET = True
    settings.SECRET_KEY = "s" * 50
    configure(settings, TOKEN_KEY="j" * 50)
    configure(settings, METRICS_TOKEN=LONG, CRON_SECRET=OTHER)
    return settings


@pytest.mark.parametrize(
    ("changed", "check", "found"),
    [
        ({}, keys.secret_key_is_set, []),
        ({"SECRET_KEY_IS_SET": False}, keys.secret_key_is_set, ["usage_billing.W020"]),
        ({}, keys.each_secret_has_one_use, []),
        ({"TOKEN_KEY": "s" * 50}, keys.each_secret_has_one_use, ["usage_billing.W021"]),
        ({"CRON_SECRET": LONG}, keys.each_secret_has_one_use, ["usage_billing.W021"]),
        ({"CRON_SECRET": "", "METRICS_TOKEN": ""}, keys.each_secret_has_one_use, []),
        ({}, keys.no_secret_can_be_guessed, []),
        ({"CRON_SECRET": "c" * 31}, keys.no_secret_can_be_guessed, ["usage_billing.W022"]),
        ({"METRICS_TOKEN": "metrics"}, keys.no_secret_can_be_guessed, ["usage_billing.W022"]),
        ({"CRON_SECRET": ""}, keys.no_secret_can_be_guessed, []),
        ({}, keys.metrics_have_a_token, []),
        ({"METRICS_TOKEN": ""}, keys.metrics_have_a_token, ["usage_billing.W023"]),
    ],
)
def test_weak_secrets_are_reported(
    settings: Settings, changed: dict[str, Any], check: Callable[..., list[CheckMessage]], found: list[str]
) -> None:
    configure(settings, **changed)
    assert ids(check) == found


def test_no_message_contains_a_secret(settings: Settings) -> None:
    configure(settings, METRICS_TOKEN="hunter2", CRON_SECRET="hunter2")
    said = [*keys.each_secret_has_one_use(), *keys.no_secret_can_be_guessed()]
    assert len(said) == 3
    assert "hunter2" not in str(said)
