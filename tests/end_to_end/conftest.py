"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.live_server_helper import LiveServer

from tests.support.explained_costs import explained_costs
from usage_billing.recording.outbox import Outbox

__all__ = ["explained_costs", "live_server"]


@pytest.fixture
def live_server(transactional_db: None, outbox: Outbox) -> Iterator[LiveServer]:
    """A server of this test. pytest-django's own would start before the test settings apply."""
    running = LiveServer("127.0.0.1")
    yield running
    running.stop()
