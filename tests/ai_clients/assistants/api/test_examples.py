"""The examples of the assistants in the schema have the shape of what the API answers."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from ai_clients.assistants.agents import agents
from ai_clients.assistants.api import examples
from ai_clients.assistants.models import ContentPiece
from tests.support import factories, people
from tests.support.configure import configure
from tests.support.shapes import differences
from usage_billing.api.examples import NO_JSON
from usage_billing.models import Organization

pytestmark = pytest.mark.django_db

SECRET = {"authorization": "Bearer s3cret"}
LEGAL_GUARD = "/api/agents/legal_guard/run"


@pytest.fixture
def org() -> Organization:
    org = Organization.objects.create(name="Atlas Content Studio", slug="atlas-studio")
    factories.rate(factories.today(org), "81.25")
    return org


@pytest.fixture
def client(org: Organization, settings: Settings) -> APIClient:
    """A client of the organisation's owner, who reads English."""
    configure(settings, CRON_SECRET="s3cret")
    settings.LANGUAGE_CODE = "en"
    client = APIClient()
    client.force_authenticate(factories.owner(org, "anna"))
    return client


def data(answer: Any) -> Any:
    assert answer.status_code == 200, answer.content
    return answer.json()["data"]


def piece(org: Organization) -> ContentPiece:
    return people.piece(org, id=examples.RUN_REQUEST["content_id"])


def run(client: APIClient, org: Organization) -> Any:
    piece(org)
    return client.post(LEGAL_GUARD, examples.RUN_REQUEST, format="json")


def enrich(client: APIClient, participant_id: int, **body: Any) -> Any:
    return client.post(f"/api/participants/{participant_id}/enrich-ai", body, format="json")


# ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_describes_the_agent_of_the_example(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    (agent,) = (agent for agent in data(client.get("/api/agents")) if agent["id"] == "legal_guard")
    if os.environ.get("RECORD_EXAMPLES"):
        text = json.dumps(agent, indent=1, ensure_ascii=False) + "\n"
        examples.RECORDED_IN.write_text(text, encoding="utf-8")
        monkeypatch.setattr(examples, "AGENT", agent)
    assert agent == examples.AGENT


def test_a_run_has_the_shape_of_its_example(client: APIClient, org: Organization, simulated: dict[str, str]) -> None:
    simulated["X-Simulator-Text"] = people.answer(**examples.RUN["output"])
    answer = data(run(client, org))
    assert [*differences(examples.RUN, answer)] == []
    same = ("agent_id", "org", "content_id", "workflow_id", "output")
    assert {name: answer[name] for name in same} == {name: examples.RUN[name] for name in same}
    agents()["legal_guard"].output.model_validate(examples.RUN["output"])


def test_a_profile_has_the_shape_of_its_example(
    client: APIClient, org: Organization, simulated: dict[str, str]
) -> None:
    profile = {name: examples.PARTICIPANT[name] for name in people.PROFILE}
    simulated["X-Simulator-Text"] = people.answer(**profile)
    author = people.talkative(org, examples.PARTICIPANT["name"])
    answer = data(enrich(client, author.pk, **examples.ENRICHMENT_REQUEST))
    assert [*differences(examples.PARTICIPANT, answer)] == []
    assert {name: answer[name] for name in profile} == profile


def test_an_analysis_has_the_shape_of_its_example(
    client: APIClient, org: Organization, simulated: dict[str, str]
) -> None:
    author = people.participant(org)
    for number in examples.QUESTION["message_ids"]:
        people.message(author, pk=number)
    piece(org)
    simulated["X-Simulator-Text"] = people.answer(answer=examples.ANALYSIS["answer"], is_answered=True, evidence=[2, 3])
    assert data(client.post("/api/custom-analysis", examples.QUESTION, format="json")) == examples.ANALYSIS


def test_the_jobs_have_the_shape_of_their_examples(
    client: APIClient, org: Organization, simulated: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    people.talkative(org)
    simulated["X-Simulator-Answer"] = "refused"
    roles = data(APIClient().post("/api/cron/update-participant-roles", headers=SECRET))
    assert [*differences(examples.ROLE_UPDATES, roles)] == []
    assert roles["failures"][0]["error"].startswith("RefusedError: The model refused this task. «")

    def fail(*_: object) -> None:
        raise ConnectionError("Connection unexpectedly closed")

    monkeypatch.setattr("ai_clients.assistants.digest.job.send_digest", fail)
    digests = data(APIClient().post("/api/cron/send-weekly-digests", headers=SECRET))
    assert [*differences(examples.DIGESTS, digests)] == []


# ── Errors ───────────────────────────────────────────────────────────────────────────────────────────────────────


def refused(answer: Any, status: int) -> Any:
    assert answer.status_code == status
    return answer.json()


def test_errors_of_the_agents_are_the_apis(
    client: APIClient, org: Organization, simulated: dict[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # the SDK waits between its attempts
    assert refused(client.post(LEGAL_GUARD, {}, format="json"), 400) == examples.WITHOUT_INPUT
    assert refused(client.post("/api/agents/nobody/run", {}, format="json"), 404) == examples.NO_AGENT
    assert refused(client.post(LEGAL_GUARD, "text", content_type="text/plain"), 415) == NO_JSON
    piece(org)
    for fault, value, status, example in (
        ("X-Simulator-Answer", "cut-off", 422, examples.RUN_CUT_OFF),
        ("X-Simulator-Statuses", "429", 502, examples.RUN_PROVIDER_BUSY),
    ):
        simulated.clear()
        simulated[fault] = value
        error = refused(client.post(LEGAL_GUARD, examples.RUN_REQUEST, format="json"), status)["error"]
        assert (error["code"], error["message"]) == (example["error"]["code"], example["error"]["message"])
        # The failed call of the second is free, and the simulator's answer of the first has usage.
        assert [*differences(example["error"]["details"], error["details"])] == []
    configure(settings, RUNS_PER_USER="1/hour")
    error = refused(client.post(LEGAL_GUARD, examples.RUN_REQUEST, format="json"), 429)["error"]
    seconds = error["details"]["retry_after_s"]
    assert error["message"].replace(str(seconds), "1740") == examples.TOO_MANY_RUNS["error"]["message"]
    assert [*differences(examples.TOO_MANY_RUNS["error"], error)] == []


def test_errors_of_the_others_are_the_apis(client: APIClient, org: Organization, simulated: dict[str, str]) -> None:
    silent, busy = people.participant(org), people.talkative(org)
    busy.claimed_at = timezone.now()
    busy.save()
    assert refused(enrich(client, silent.pk, max_messages=501), 400) == examples.WRONG_NUMBER
    assert refused(enrich(client, 999_999), 404) == examples.NO_PARTICIPANT
    assert refused(enrich(client, silent.pk), 409) == examples.NO_MESSAGES
    assert refused(enrich(client, busy.pk), 409) == examples.UNDER_WAY
    ask = {"question": "?", "message_ids": [9120]}
    assert refused(client.post("/api/custom-analysis", ask, format="json"), 404) == examples.NO_TEXT
    assert refused(client.post("/api/custom-analysis", {}, format="json"), 400) == examples.WITHOUT_QUESTION
    assert refused(APIClient().post("/api/cron/send-weekly-digests"), 401) == examples.WITHOUT_SECRET
    people.message(silent)
    simulated["X-Simulator-Answer"] = "cut-off"
    assert refused(enrich(client, silent.pk), 422) == examples.CUT_OFF
