"""The API and the admin in another project: its settings do not change ours, and ours change nothing of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.host_project.probe"],
        cwd=ROOT,
        env={
            **inherited,
            "DJANGO_SETTINGS_MODULE": "tests.support.host_project.settings",
            "HOST_PROJECT_FOLDER": str(tmp_path_factory.mktemp("host")),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_of_the_service_is_imported(found: Any) -> None:
    assert found["imported"] == []


def test_the_hosts_admin_of_users_and_groups_stays(found: Any) -> None:
    assert [found["registered"][name] for name in ("User", "Group")] == ["django.contrib.auth.admin"] * 2


def test_our_models_are_in_the_hosts_plain_admin(found: Any) -> None:
    assert {"UsageRecord", "Organization", "ExchangeRate", "PriceOverride", "RepriceRun"} <= set(found["registered"])
    assert len(found["pages"]) > 15
    assert {page: status for page, status in found["pages"].items() if status != 200} == {}


def test_answers_are_the_same_as_in_the_service(found: Any) -> None:
    answers = found["answers"]
    assert {name: status for name, (status, _body) in answers.items() if status != 200} == {
        "summary?days=x": 400,
        "detailed/999": 404,
    }
    assert answers["summary"][1]["data"]["today"]["cost_usd"] == "0.5"
    assert answers["by-org"][1]["data"]["items"][0]["name"] == "Acme"
    call = answers["detailed/1"][1]["data"]
    assert call["created_at"].endswith("Z")
    assert call["usage_date"][4] == "-"
    assert answers["summary?days=x"][1]["error"]["code"] == "invalid"
    assert answers["detailed/999"][1]["error"]["code"] == "not_found"
    assert answers["export"][1].count("\n") == 2


def test_the_anonymous_are_refused_whatever_the_host_allows(found: Any) -> None:
    assert [(status, body["error"]["code"]) for status, body in found["anonymous"]] == [(401, "not_authenticated")] * 2


def test_the_hosts_addresses_and_views_stay_its_own(found: Any) -> None:
    assert found["host"] == [[200, "host"], [200, "host"]]
    status, page = found["host_view"]
    assert status == 200
    assert "&quot;version&quot;: &quot;7&quot;" in page  # by the host's renderer and versioning


def test_names_of_addresses_have_a_namespace(found: Any) -> None:
    assert found["names"] == ["/api/billing/usage/tokens/summary", "/api/billing/usage/tokens/detailed/1"]
