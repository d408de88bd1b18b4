"""What a few calls took, before the ledger has them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ai_clients.assistants.runs.measurement import measure
from tests.support import factories
from tests.support.factories import NOON, event

pytestmark = pytest.mark.django_db


def test_time_is_from_the_first_call_to_the_last_answer_and_models_are_named_once() -> None:
    org = factories.organization()
    models = ("gpt-5", "gpt-5-mini", "gpt-5")
    calls = [event(org=org, model=model, at=NOON + timedelta(seconds=number)) for number, model in enumerate(models)]
    measured = measure(calls, "run")
    assert (measured.workflow_id, measured.models) == ("run", ("gpt-5", "gpt-5-mini"))
    assert (measured.duration_ms, measured.seconds) == (3200, 3.2)
    assert (measured.spent.requests_count, measured.spent.total_tokens) == (3, 3300)


def test_nothing_was_called() -> None:
    measured = measure([], "run")
    assert (measured.models, measured.duration_ms, measured.spent.requests_count) == ((), 0, 0)
