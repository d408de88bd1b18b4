"""Every answer matches the schema: some two thousand cases, the same each time.

`API_CASES=500` asks that many of each operation, and as many walks along the links, new ones each time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from rest_framework.views import APIView
from schemathesis import AuthContext, HookContext
from schemathesis.checks import CheckContext
from schemathesis.core.transport import Response

from tests.support.api_world import REPORTS, World

Case: TypeAlias = schemathesis.Case[Any]

MANY = int(os.environ.get("API_CASES", "0"))
CASES = settings(max_examples=MANY or 10, derandomize=not MANY, database=None, suppress_health_check=list(HealthCheck))
WALKS = settings(CASES, max_examples=MANY or 15, stateful_step_count=6)

api = schemathesis.openapi.from_dict(
    SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
)


class Application:
    """Made in each test: its middleware reads the settings, which are those of tests only then."""

    made: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.made(environ, start_response)


api.app = Application()
api.config.generation.update(with_security_parameters=False, allow_x00=False)
api.config.checks.positive_data_acceptance.enabled = False
# It takes away the token that it has given, not ours. Who is let in is asked by `test_who_sees_what`.
api.config.checks.ignored_auth.enabled = False


@api.auth(refresh_interval=None)
class Bearer:
    token = ""

    def get(self, case: Case, context: AuthContext) -> str:
        return self.token

    def set(self, case: Case, data: str, context: AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


ANSWERS: Counter[tuple[str, int]] = Counter()
"""Counts of answers by operation and status."""
TESTED: set[str] = set()
"""The operations that this process tested one by one; the walk along the links touches others too."""


@api.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    ANSWERS[case.operation.label, response.status_code] += 1


CONTRADICTORY = {"days", "period_days", "from", "to", "offset", "cursor", "step", "then_by"}
"""Each may be valid by itself and not beside another one: of that OpenAPI has no way to tell."""


@schemathesis.check
def rejected_for_a_reason(ctx: CheckContext, response: Response, case: Case) -> None:
    """Parameters that the schema allows are refused only for contradictions."""
    if (
        case.meta is not None
        and case.meta.generation.mode.is_positive
        and response.status_code == 400
        and case.method == "GET"
    ):
        assert set(response.json()["error"]["details"]) <= CONTRADICTORY


pytestmark = pytest.mark.django_db


@pytest.fixture
def asked_by_a_superadmin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The superadmin asks, with a token and as often as they like."""
    monkeypatch.setattr(APIView, "get_throttles", lambda self: [])
    monkeypatch.setattr(Application, "made", get_wsgi_application())
    World(timezone.now())
    granted = Client().post("/api/token", {"username": "boss", "password": "secret"}, "application/json").json()
    # A request of WSGI would close the connection that holds the test's transaction.
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    monkeypatch.setattr(Bearer, "token", granted["data"]["access"])
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@api.parametrize()
@CASES
def test_every_answer_is_documented(asked_by_a_superadmin: None, case: Case) -> None:
    TESTED.add(case.operation.label)
    # Some cases are made when tests are collected, before there was a token.
    case.call_and_validate(headers={"Authorization": f"Bearer {Bearer.token}"})


def test_every_answer_along_the_links_is_documented(asked_by_a_superadmin: None) -> None:
    run_state_machine_as_test(api.as_state_machine(), settings=WALKS)


def test_cases_were_answered_and_refused() -> None:
    """Check that the tests before this one got other answers than 401."""
    operations = {name for name in TESTED if name.startswith("GET /api/billing")}
    if len(operations) < len(REPORTS) + 1:
        pytest.skip("The tests before this one were not all run.")
    assert {name for name in operations if not ANSWERS[name, 200]} == set()
    assert {name for name in operations if not ANSWERS[name, 400] + ANSWERS[name, 404]} == set()
