"""The examples of the schema are what the API answers."""

from __future__ import annotations

import json
import os
import re
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.support import example_world, factories
from tests.support.api_world import BILLING, REPORTS
from tests.support.configure import configure
from tests.support.shapes import differences
from usage_billing.api import examples, export_slots

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
    reports = {f"usage_{report.replace('-', '_')}" for report in (*REPORTS, "by-tag")}
    assert set(examples.RECORDED) == reports | {"usage_call"} | set(example_world.BUDGETS)
    for operation, answer in answers.items():
        assert examples.RECORDED[operation] == answer, operation


def test_parts_of_the_examples_add_up() -> None:
    """Check that a reader may follow the arithmetic."""
    call = examples.RECORDED["usage_call"]
    parts = sum(Decimal(part) for part in call["response_metadata"]["cost_parts"].values())
    assert parts == Decimal(call["cost_usd"])
    assert parts * Decimal(call["usd_rub_rate"]) == Decimal(call["cost_rub"])
    for operation in (name for name in examples.RECORDED if name.startswith("usage_by_")):
        answer = examples.RECORDED[operation]
        rows = [row for row in (*answer["items"], answer["other"]) if row]
        for amount in AMOUNTS:
            assert sum(Decimal(row[amount] or 0) for row in rows) == Decimal(answer["total"][amount]), operation
        for count in ("requests_count", "total_tokens", "unpriced_count"):
            assert sum(row[count] for row in rows) == answer["total"][count], operation


def test_examples_show_an_unknown_cost_with_its_reason_and_a_free_call() -> None:
    """Check that null and zero both occur."""
    calls = [json.loads(line) for line in examples.RECORDED["usage_export"]["application/jsonl"].splitlines()]
    calls += examples.RECORDED["usage_detailed"]["items"]
    reasons = {call["price_source"] for call in calls if call["cost_usd"] is None}
    assert reasons == {"unpriced:unknown-model"}
    assert {call["price_source"] for call in calls if call["cost_usd"] == "0"} == {"not-charged:failed"}


# ── Errors ───────────────────────────────────────────────────────────────────────────────────────────────────────


def refused(answer: Any, status: int) -> Any:
    assert answer.status_code == status, answer.content
    return answer.json()


def post(path: str, body: Any, client: APIClient | None = None) -> Any:
    return (client or APIClient()).post(path, body, format="json")


def test_errors_of_the_reports_are_the_apis(settings: Settings) -> None:
    settings.LANGUAGE_CODE = "en"
    client = APIClient()
    client.force_authenticate(factories.owner(factories.organization()))
    assert refused(client.get(f"{BILLING}/summary", {"days": "many"}), 400) == examples.WRONG_DAYS
    assert refused(APIClient().get(f"{BILLING}/summary"), 401) == examples.NOT_AUTHENTICATED
    assert refused(client.get(f"{BILLING}/by-org"), 403) == examples.NOT_FOR_MEMBERS
    assert refused(client.get(f"{BILLING}/detailed/999999999"), 404) == examples.NO_CALL
    person = factories.user()
    client.force_authenticate(person)
    slots = [export_slots.take(person) for _ in range(export_slots.EXPORTS_PER_USER)]
    assert refused(client.get(f"{BILLING}/export"), 429) == examples.TOO_MANY_EXPORTS
    for slot in slots:
        slot.close()


def test_the_throttled_error_is_the_apis(settings: Settings) -> None:
    settings.LANGUAGE_CODE = "en"
    configure(settings, API_RATE_ANONYMOUS="1/min")
    APIClient().get(f"{BILLING}/summary")
    error = refused(APIClient().get(f"{BILLING}/summary"), 429)["error"]
    example = examples.THROTTLED["error"]
    assert [*differences(example, error)] == []
    assert (error["code"], re.sub(r"\d+", "24", error["message"])) == (example["code"], example["message"])


def test_a_write_by_session_without_csrf_token_is_refused_as_shown(settings: Settings) -> None:
    settings.LANGUAGE_CODE = "en"
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(factories.user())
    assert refused(post("/api/agents/legal_guard/run", {}, client), 403) == examples.WITHOUT_CSRF


def test_tokens_are_given_and_refused_as_shown(settings: Settings) -> None:
    settings.LANGUAGE_CODE = "en"
    credentials = examples.CREDENTIALS
    assert refused(post("/api/token", credentials), 401) == examples.WRONG_PASSWORD
    User.objects.create_user(**credentials)
    pair = post("/api/token", credentials).json()["data"]
    assert [*differences(examples.TOKENS, pair)] == []
    assert pair.keys() == post("/api/token/refresh", {"refresh": pair["refresh"]}).json()["data"].keys()
    assert refused(post("/api/token/refresh", {"refresh": pair["refresh"]}), 401) == examples.USED_TOKEN
    assert post("/api/token/revoke", {"refresh": pair["refresh"]}).json()["data"] == {}
    assert refused(post("/api/token/revoke", {"refresh": pair["refresh"]}), 401) == examples.ENDED_SESSION
    assert refused(post("/api/token/revoke", {}), 400) == examples.invalid(refresh=examples.REQUIRED)
    assert refused(APIClient().post("/api/token", "x", content_type="text/plain"), 415) == examples.NO_JSON
    large = {**credentials, "password": "x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE}
    assert refused(post("/api/token", large), 413) == examples.TOO_LARGE


def test_too_many_wrong_passwords_are_refused_as_shown(settings: Settings) -> None:
    settings.LANGUAGE_CODE, settings.AXES_ENABLED = "en", True
    User.objects.create_user(**examples.CREDENTIALS)
    wrong = {**examples.CREDENTIALS, "password": "guess"}
    error = [post("/api/token", wrong) for _ in range(settings.AXES_FAILURE_LIMIT + 1)][-1].json()["error"]
    assert [*differences(examples.LOGIN_LOCKED["error"], error)] == []
    assert (error["code"], error["message"]) == (
        examples.LOGIN_LOCKED["error"]["code"],
        examples.LOGIN_LOCKED["error"]["message"],
    )
