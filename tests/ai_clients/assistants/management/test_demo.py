"""`manage.py demo`: real SDK calls for each demo organisation, on the ledger when it ends."""

import os
from collections import Counter

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from ai_clients.assistants.agents import agents
from ai_clients.assistants.management.commands.demo import CALLS, INPUTS
from tests.support.configure import configure
from usage_billing.management import demo_data
from usage_billing.models import UsageRecord


@pytest.fixture(autouse=True)
def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.startswith(("OPENAI_", "ANTHROPIC_")):
            monkeypatch.delenv(variable)


@pytest.mark.django_db(transaction=True)
def test_demo_makes_recorded_calls_for_every_demo_organisation(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(settings, SIMULATOR=True)
    demo_data.create_people()
    call_command("demo")
    out = capsys.readouterr().out
    assert "OpenAI: calls go to simulator" in out
    each = len(CALLS) + len(INPUTS) + 1  # one call for the claims, one to judge the one that the simulator finds
    calling = [organization.slug for organization in demo_data.ORGANIZATIONS if not organization.stopped_days_ago]
    total = each * len(calling)
    assert f"Made {total} calls for {len(calling)} organisations: {total} new records." in out
    by_org = Counter(UsageRecord.objects.values_list("org__slug", flat=True))
    assert by_org == dict.fromkeys(calling, each)
    assert set(UsageRecord.objects.values_list("agent_id", flat=True)) == {*agents(), ""}
    assert not UsageRecord.objects.filter(cost_usd=None).exists()
    assert set(UsageRecord.objects.values_list("status", flat=True)) == {"succeeded"}
    assert not UsageRecord.objects.filter(user=None).exists()


@pytest.mark.django_db
def test_demo_without_organisations_says_what_to_do_first() -> None:
    with pytest.raises(CommandError, match="make run"):
        call_command("demo")


@pytest.mark.django_db
def test_demo_without_keys_and_simulator_says_what_is_missing(settings: Settings) -> None:
    configure(settings, SIMULATOR=False)
    demo_data.create_people()
    with pytest.raises(CommandError, match="DEBUG=1"):
        call_command("demo")
