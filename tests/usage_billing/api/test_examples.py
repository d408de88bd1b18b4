"""The examples of the schema are what the API answers."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from django.conf import settings as django_settings
from pytest_django import Settings

from tests.support import example_world
from tests.support.api_world import REPORTS
from usage_billing.api import examples

pytestmark = pytest.mark.django_db

AMOUNTS = ("cost_usd", "cost_rub")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> dict[str, Any]:
    settings.ALLOWED_HOSTS = [*django_settings.ALLOWED_HOSTS, "costs.example.com"]
    example_world.build()
    found = example_world.answers(monkeypatch)
    if os.environ.get("RECORD_EXAMPLES"):
        examples.RECORDED_IN.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        monkeypatch.setattr(examples, "RECORDED", found)
    return found


def test_examples_of_the_reports_are_the_apis_answers(answers: dict[str, Any]) -> None:
    assert set(examples.RECORDED) == {f"usage_{report.replace('-', '_')}" for report in REPORTS} | {"usage_call"}
    for operation, answer in answers.items():
        assert examples.RECORDED[operation] == answer, operation
