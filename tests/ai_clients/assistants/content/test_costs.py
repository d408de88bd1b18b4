"""The costs of a content piece."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ai_clients.assistants.content.costs import costs_of
from tests.support import factories, people
from tests.support.rows import NOON, enter, row
from usage_billing.tenancy.scope import EVERYTHING, of_organization

pytestmark = pytest.mark.django_db


def test_total_and_each_agent_the_most_expensive_first(django_assert_num_queries: Any) -> None:
    org, other = factories.organization(), factories.organization()
    piece = people.piece(org)
    own = {"content_id": str(piece.pk)}
    enter(
        row(org, agent_id="repurpose", cost_usd=Decimal("0.10"), **own),
        row(org, agent_id="legal_guard", cost_usd=Decimal("0.30"), **own),
        row(org, agent_id="legal_guard", cost_usd=None, cost_rub=None, **own),
        row(org, agent_id="legal_guard", content_id=str(people.piece(org).pk)),
        row(other, agent_id="legal_guard", cost_usd=Decimal("9"), **own),
    )
    with django_assert_num_queries(3):
        costs = costs_of(of_organization(org.pk), piece)
    assert (costs.total["requests_count"], costs.total["cost_usd"]) == (3, Decimal("0.40"))
    assert [(one["agent_id"], one["cost_usd"], one["unpriced_usd_count"]) for one in costs.by_agent] == [
        ("legal_guard", Decimal("0.30"), 1),
        ("repurpose", Decimal("0.10"), 0),
    ]
    assert costs.since == NOON.date()
    assert costs_of(EVERYTHING, piece).total["requests_count"] == 4


def test_nothing_worked_on_it_yet() -> None:
    costs = costs_of(EVERYTHING, people.piece(factories.organization()))
    assert (costs.total["requests_count"], costs.by_agent, costs.since) == (0, [], None)
