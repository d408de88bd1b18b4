"""`manage.py check` reports wrong settings in `AI_COSTS`."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from pytest_django import Settings

from tests.support.configure import configure
from usage_billing.checks import configuration


def test_the_services_own_settings_are_understood() -> None:
    assert configuration.settings_are_understood() == []


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("OUTBOX_PAHT", "/var/outbox", "Did you mean OUTBOX_PATH?"),
        ("DRAIN", "threads", "Set one of thread, off."),
        ("DATABASE", "costs", "Set one of default."),
        ("OUTBOX_MAX_MB", "2 GB", "Set a whole number, 0 or more."),
        ("TRUSTED_PROXIES", -1, "Set a whole number, 0 or more."),
        ("ORGANIZATION_RESOLVER", "company.costs.nobody", "Name a function by its dotted path."),
        ("DEPLOYMENTS", ["gpt4-turbo"], "Set a dict: deployment → model."),
        ("DEPLOYMENTS", {"gpt4-turbo": 4}, "Set a dict: deployment → model."),
        ("ENCRYPTION_KEYS", "a text", "Set a list of long texts, or None."),
        ("ENCRYPTION_KEYS", ["a text", ""], "Set a list of long texts, or None."),
        ("ALERTS_ALLOW_PRIVATE_ADDRESSES", "no", "Set True or False."),
        ("TELEGRAM_URL", "api.telegram.org", "Set an address: https://…"),
    ],
)
def test_a_wrong_setting_is_named(settings: Settings, name: str, value: Any, hint: str) -> None:
    settings.AI_COSTS = {**settings.AI_COSTS, name: value}
    (error,) = configuration.settings_are_understood()
    assert (error.id, error.hint) == ("usage_billing.E012", hint)
    assert name in error.msg


def test_settings_that_are_not_a_dict_are_reported() -> None:
    with override_settings(AI_COSTS=["thread"]):
        (error,) = configuration.settings_are_understood()
    assert error.msg == "AI_COSTS is not a dict."


def test_a_database_without_row_level_security_is_warned_of(settings: Settings) -> None:
    assert configuration.database_keeps_tenants_apart() == []
    configure(settings, ROW_LEVEL_SECURITY=False)
    warned = [message.id for message in configuration.database_keeps_tenants_apart()]
    assert warned == (["usage_billing.W032"] if connection.vendor == "postgresql" else [])
