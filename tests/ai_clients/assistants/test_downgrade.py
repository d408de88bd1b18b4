"""A budget of the mode `downgrade`: the assistants' own requests go to the cheaper model, other callers' do not."""

from __future__ import annotations

from decimal import Decimal

import pytest

import ai_clients
from ai_clients.assistants.agents import agents
from ai_clients.assistants.runs import run as runs
from tests.support import factories
from usage_billing import usage_context
from usage_billing.budgets import stop_list
from usage_billing.ledger import writer
from usage_billing.models import Budget, Organization, UsageRecord

pytestmark = pytest.mark.usefixtures("simulated", "transactional_db")

AGENT = "trends_scout"
CHEAPER = "gpt-6-luna"


def downgrading(org: Organization, **fields: object) -> Budget:
    made = Budget.objects.create(
        org=org, name="Cheap", limit=Decimal("0.0005"), mode="downgrade", replacement=f"openai:{CHEAPER}",
        starts_on="2026-01-01", **fields,
    )  # fmt: skip
    stop_list.publish()
    return made


def run_agent(org: Organization) -> None:
    agent = agents()[AGENT]
    runs.run(agent, agent.input(posts=[{"text": "Cats"}]), runs.Account(org), user_id=None)


def models(org: Organization, status: str = "succeeded") -> list[str]:
    return list(UsageRecord.objects.filter(org=org, status=status).order_by("pk").values_list("ai_model", flat=True))


def test_agent_uses_the_cheaper_model_once_the_budget_is_used_up(drained: object) -> None:
    org = factories.organization()
    budget = downgrading(org)
    run_agent(org)
    assert callable(drained)
    drained()
    (before,) = models(org)
    assert not before.startswith(CHEAPER)
    writer.add([factories.event(org=org.pk)])
    run_agent(org)
    drained()
    assert models(org)[-1].startswith(CHEAPER)
    last = UsageRecord.objects.filter(org=org).latest("pk")
    assert last.request_metadata["budget_id"] == budget.pk
    assert last.request_metadata["downgraded_from"].endswith(before.partition("-2")[0])


@pytest.mark.parametrize("fields", [{"agent_id": "another"}, {"is_active": False}, {"ai_model": "gpt-4.1"}])
def test_budget_of_other_calls_changes_no_model(drained: object, fields: dict[str, object]) -> None:
    org = factories.organization()
    downgrading(org, **fields)
    writer.add([factories.event(org=org.pk)])
    run_agent(org)
    assert callable(drained)
    drained()
    assert not models(org)[-1].startswith(CHEAPER)


def test_other_callers_keep_their_model(drained: object) -> None:
    org = factories.organization()
    downgrading(org)
    writer.add([factories.event(org=org.pk)])
    with usage_context(org=org):
        ai_clients.OpenAI().chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": "Hi"}])
    assert callable(drained)
    drained()
    assert models(org)[-1].startswith("gpt-4.1")
