"""The outbox of a project's tests: theirs alone, and gone afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.factories import event
from usage_billing.conf import conf
from usage_billing.recording import health, record
from usage_billing.recording.outbox import Outbox
from usage_billing.recording.testing import isolated_outbox, usage_outbox  # noqa: F401 - a fixture


def test_calls_inside_are_recorded_into_another_outbox_that_is_removed(outbox: Outbox) -> None:
    record(event())
    with isolated_outbox() as isolated:
        record(event())
        record(event())
        assert (isolated.backlog().events, outbox.backlog().events) == (2, 1)
        assert str(isolated.path) == conf.OUTBOX_PATH
        assert health().backlog == isolated.backlog()
    record(event())
    assert outbox.backlog().events == 2
    assert not isolated.path.parent.exists()
    assert health().lost == 0


def test_an_error_inside_ends_it_too(outbox: Outbox) -> None:
    with pytest.raises(LookupError), isolated_outbox():
        raise LookupError
    record(event())
    assert outbox.backlog().events == 1


def test_the_fixture_is_such_an_outbox(outbox: Outbox, usage_outbox: Outbox) -> None:  # noqa: F811
    record(event())
    assert (usage_outbox.backlog().events, outbox.backlog().events) == (1, 0)
    assert Path(conf.OUTBOX_PATH) == usage_outbox.path
