"""A guard of its own for each test: leases of another test's database would be wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import factories, spending
from tests.support.spending import Provider
from usage_billing.budgets import guard as guards
from usage_billing.budgets import published
from usage_billing.budgets.guard import Guard
from usage_billing.models import Organization
from usage_billing.recording import admission
from usage_billing.recording.outbox import Outbox


@pytest.fixture
def guard(outbox: Outbox, transactional_db: None) -> Iterator[Guard]:
    published.forget()
    guards._start_anew()
    made = admission.guard
    assert isinstance(made, Guard)
    yield made
    made.keeper.end()
    guards._start_anew()


@pytest.fixture
def org(transactional_db: None) -> Organization:
    return factories.organization()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with spending.provider() as made:
        yield made
