"""The drain of the outbox that these tests record into."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.recorded import Recorded
from usage_billing.ledger import drain
from usage_billing.recording.outbox import Outbox


@pytest.fixture
def drained(recorded: Recorded) -> Iterator[Any]:
    """Drain the outbox of this test into the ledger. Returns the number of events."""
    reader = Outbox(recorded.path)
    yield lambda: drain.drain_all(reader)
    reader.close()
