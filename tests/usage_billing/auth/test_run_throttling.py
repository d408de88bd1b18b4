"""So many runs of the AI of a person, and of an organisation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from pytest_django import Settings

from tests.support.configure import configure
from usage_billing.auth.run_throttling import TooManyRunsError, count_run


def wait(user_id: int | None, org_id: int) -> int:
    """The seconds that a run is put off; 0: it was counted."""
    try:
        count_run(user_id=user_id, org_id=org_id)
    except TooManyRunsError as error:
        return error.seconds
    return 0


@pytest.fixture(autouse=True)
def few(settings: Settings) -> None:
    configure(settings, RUNS_PER_USER="2/hour", RUNS_PER_ORGANIZATION="3/day")


@pytest.mark.django_db
def test_a_person_and_an_organisation_have_a_limit_each() -> None:
    assert [wait(1, 1), wait(1, 2)] == [0, 0]
    assert wait(1, 3) == 3600
    assert [wait(2, 1), wait(2, 1)] == [0, 0]
    assert wait(3, 1) == 86400
    assert [wait(3, 2), wait(None, 2)] == [0, 0]
    assert wait(None, 2) == 86400


@pytest.mark.django_db(transaction=True)
def test_many_at_once_pass_no_limit() -> None:
    def run(number: int) -> int:
        try:
            return wait(number, 1)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(run, range(8))).count(0) == 3
