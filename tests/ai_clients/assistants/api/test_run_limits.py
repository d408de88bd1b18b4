"""Every endpoint of the API that calls a provider has a limit of runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.support import factories, people
from tests.support.configure import configure
from tests.support.recorded import Recorded
from usage_billing.models import Organization

pytestmark = pytest.mark.django_db

AGENT = json.dumps({"verdict": "ok", "summary": "", "issues": []})


def agent(org: Organization) -> tuple[str, Any]:
    return "/api/agents/legal_guard/run", {"input": {"text": "Скидка!"}}


def enrichment(org: Organization) -> tuple[str, Any]:
    return f"/api/participants/{people.talkative(org).pk}/enrich-ai", {}


def analysis(org: Organization) -> tuple[str, Any]:
    return "/api/custom-analysis", {"question": "?", "content_ids": [str(people.piece(org).pk)]}


@pytest.mark.parametrize("asked", [agent, enrichment, analysis])
@pytest.mark.parametrize("who", ["owner", "member"])
def test_over_the_limit_no_provider_is_called(
    simulated: dict[str, str],
    recorded: Recorded,
    settings: Settings,
    asked: Callable[[Organization], tuple[str, Any]],
    who: str,
) -> None:
    configure(settings, RUNS_PER_USER="1/hour")
    org = factories.organization()
    client = APIClient()
    client.force_authenticate(getattr(factories, who)(org))
    address, body = asked(org)
    first, second = (client.post(address, body, format="json") for _ in range(2))
    assert first.status_code != 429
    calls = len(recorded.all())
    assert calls > 0
    error = second.json()["error"]
    assert (second.status_code, error["code"]) == (429, "too_many_runs")
    assert 0 < int(second["Retry-After"]) == error["details"]["retry_after_s"] <= 3600
    assert len(recorded.all()) == calls


@pytest.mark.parametrize("asked", [agent, enrichment, analysis])
def test_the_limit_of_an_organisation_holds_for_all_of_its_people(
    simulated: dict[str, str], recorded: Recorded, settings: Settings, asked: Callable[..., tuple[str, Any]]
) -> None:
    configure(settings, RUNS_PER_ORGANIZATION="1/day")
    org = factories.organization()
    address, body = asked(org)
    statuses = []
    for person in (factories.owner(org), factories.member(org)):
        client = APIClient()
        client.force_authenticate(person)
        statuses.append(client.post(address, body, format="json").status_code)
    assert (statuses[0] == 429, statuses[1]) == (False, 429)


@pytest.mark.parametrize("job", ["update-participant-roles", "send-weekly-digests"])
def test_a_job_is_started_so_many_times_an_hour(settings: Settings, job: str) -> None:
    configure(settings, CRON_SECRET="s3cret")
    headers = {"authorization": "Bearer s3cret"}
    answers = [APIClient().post(f"/api/cron/{job}", headers=headers) for _ in range(13)]
    assert [answer.status_code for answer in answers] == [200] * 12 + [429]
    assert int(answers[-1]["Retry-After"]) > 3500
    assert APIClient().post(f"/api/cron/{job}").status_code == 401
