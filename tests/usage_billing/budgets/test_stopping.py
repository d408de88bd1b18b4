"""Calls through the SDKs against budgets: sent while something is left, refused before a byte leaves after that."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import anthropic
import httpx
import openai
import pytest
from django.db import OperationalError, connection

import ai_clients
from tests.support import factories, spending
from tests.support.socket_server import Peer, socket_server
from tests.support.spending import MODEL, Provider
from tests.usage_billing.budgets.world import reserved, settle, spent
from usage_billing import usage_context
from usage_billing.budgets import holdings, keeper, leases, published
from usage_billing.budgets.guard import Guard
from usage_billing.ledger import writer
from usage_billing.models import Budget, Organization, UsageRecord
from usage_billing.recording import OrganizationKey, health
from usage_billing.recording.outbox import Outbox

Drained = Callable[[], int]
HELLO: Any = [{"role": "user", "content": "Hi"}]


def is_refused(provider: Provider, **options: Any) -> bool:
    """Make a call; tell whether a budget has stopped it."""
    before = provider.calls
    codes = []
    try:
        provider.call(**options)
    except openai.RateLimitError as error:
        codes.append(error.code)
    assert provider.calls == before + (not codes)
    assert codes in ([], ["budget_exceeded"])
    return bool(codes)


def test_calls_are_sent_until_the_budget_is_used_up(
    guard: Guard, org: Organization, provider: Provider, drained: Callable[[], int]
) -> None:
    budget = spending.budget(org, "0.05")
    with usage_context(org=org, agent_id="legal_guard"):
        for _ in range(5):
            provider.call()
            drained()
        with pytest.raises(openai.RateLimitError) as refused:
            provider.call()
    assert refused.value.code == "budget_exceeded"
    assert "Budget “" in refused.value.message
    assert provider.calls == 5
    drained()
    assert spent(budget) == Decimal("0.05")
    record = UsageRecord.objects.get(status="refused")
    assert (record.total_tokens, record.cost_usd, record.error_code) == (0, 0, "budget_exceeded")
    assert record.response_metadata["budget"]["id"] == budget.pk
    assert record.agent_id == "legal_guard"


# ── Whose calls ──────────────────────────────────────────────────────────────────────────────────────────────────────


def used_up(org: Organization, **fields: Any) -> Budget:
    """A budget of one call, which was made."""
    budget = spending.budget(org, "1", unit="calls", **fields)
    scope: dict[str, Any] = {name: fields[name] for name in ("agent_id", "request_type") if name in fields}
    tags = {fields["tag_key"]: fields["tag_value"]} if "tag_key" in fields else {}
    user = fields.get("user_id")
    writer.add([factories.event(org=org.pk, user=user, attribution={**scope, "tags": tags})])
    assert spent(budget) == 1
    return budget


def test_budget_counts_the_calls_of_its_scope_alone(guard: Guard, org: Organization, provider: Provider) -> None:
    user, another = factories.member(org), factories.member(org)
    cases: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
        ({"agent_id": "a"}, {"agent_id": "a"}, {"agent_id": "b"}),
        ({"request_type": "chat"}, {"request_type": "chat"}, {"request_type": "search"}),
        ({"user_id": user.pk}, {"user": user}, {"user": another}),
        ({"tag_key": "feature", "tag_value": "x"}, {"tags": {"feature": "x"}}, {"tags": {"feature": "y"}}),
        ({"agent_id": "c", "request_type": "chat2"}, {"agent_id": "c", "request_type": "chat2"}, {"agent_id": "c"}),
    ]
    for scope, stopped, free in cases:
        used_up(org, **scope)
        with usage_context(org=org, **stopped):
            assert is_refused(provider), scope
        with usage_context(org=org, **free):
            assert not is_refused(provider), scope


def test_budget_of_a_model_counts_its_dated_versions(guard: Guard, org: Organization, provider: Provider) -> None:
    spending.budget(org, "1", unit="calls", ai_model=MODEL)
    writer.add([factories.event(org=org.pk, model=f"{MODEL}-2025-04-14")])
    with usage_context(org=org):
        assert is_refused(provider)
        assert is_refused(provider, model=f"{MODEL}-2025-04-14")
        assert not is_refused(provider, model="gpt-4.1")


def test_budget_of_another_provider_does_not_count(guard: Guard, org: Organization, provider: Provider) -> None:
    used_up(org, name="A")
    Budget.objects.update(ai_provider="anthropic")
    published.publish()
    with usage_context(org=org):
        assert not is_refused(provider)


def test_call_of_a_user_counts_for_their_only_organisation(
    guard: Guard, org: Organization, provider: Provider, drained: Drained
) -> None:
    budget, user = spending.budget(org, "1", unit="calls"), factories.member(org)
    with usage_context(user=user):
        assert not is_refused(provider)
        assert is_refused(provider)
    settle(guard, drained)
    assert spent(budget) == 1


def test_call_of_the_projects_own_organisation(guard: Guard, org: Organization, provider: Provider) -> None:
    org.external_key = "tenant-1"
    org.save()
    used_up(org)
    with usage_context(org=OrganizationKey("tenant-1")):
        assert is_refused(provider)
    with usage_context(org=OrganizationKey("tenant-2")):
        assert not is_refused(provider)


def test_call_without_an_organisation(guard: Guard, transactional_db: None, provider: Provider) -> None:
    nobodys = Organization.objects.create(name="Unattributed", slug="unattributed")
    used_up(nobodys)
    assert is_refused(provider)


def test_several_budgets_hold_at_once(guard: Guard, org: Organization, provider: Provider, drained: Drained) -> None:
    by_month, by_agent = spending.budget(org, "10"), spending.budget(org, "2", unit="calls", agent_id="a", window="day")
    with usage_context(org=org, agent_id="a"):
        assert [is_refused(provider) for _ in range(3)] == [False, False, True]
    with usage_context(org=org, agent_id="b"):
        assert not is_refused(provider)
    settle(guard, drained)
    assert [spent(by_month), spent(by_agent), reserved(by_month), reserved(by_agent)] == [Decimal("0.03"), 2, 0, 0]


def test_budgets_in_roubles_and_tokens(guard: Guard, org: Organization, provider: Provider, drained: Drained) -> None:
    factories.rate(factories.today(org), "80")
    roubles = spending.budget(org, "0.80", unit="rub", agent_id="r")
    tokens = spending.budget(org, str(spending.CENT), unit="tokens", agent_id="t")
    for agent, budget, limit in (("r", roubles, Decimal("0.80")), ("t", tokens, Decimal(spending.CENT))):
        with usage_context(org=org, agent_id=agent):
            assert not is_refused(provider)
            settle(guard, drained)
            assert spent(budget) == limit
            assert is_refused(provider)


@pytest.mark.parametrize(
    ("scope", "given"),
    [
        ({"agent_id": "a" * 100}, {"agent_id": "a" * 101}),
        ({"agent_id": "legal\ufffd"}, {"agent_id": "legal\u200b"}),
        ({"request_type": "ask"}, {"request_type": "ask\0"}),
    ],
)
def test_call_is_stopped_under_the_name_that_the_ledger_gives_it(
    guard: Guard, org: Organization, provider: Provider, drained: Callable[[], int], scope: Any, given: Any
) -> None:
    budget = spending.budget(org, "1", unit="calls", **scope)
    with usage_context(org=org, **given):
        provider.call()
        drained()
        assert spent(budget) == 1
        with pytest.raises(openai.RateLimitError):
            provider.call()


def test_organisation_with_a_key_beyond_the_column_is_stopped(
    guard: Guard, provider: Provider, drained: Callable[[], int]
) -> None:
    key = OrganizationKey("k" * 200)
    with usage_context(org=key):
        provider.call()
        drained()
        spending.budget(Organization.objects.get(), "1", unit="calls")
        with pytest.raises(openai.RateLimitError):
            provider.call()


# ── Providers, SDKs, ways ────────────────────────────────────────────────────────────────────────────────────────────


def test_anthropics_sdk_raises_its_own_error(guard: Guard, org: Organization, provider: Provider) -> None:
    used_up(org)
    client = ai_clients.Anthropic(api_key="sk-test", base_url=provider.server.url)
    with usage_context(org=org), pytest.raises(anthropic.RateLimitError) as refused:
        client.messages.create(model="claude-haiku-4-5", max_tokens=10, messages=HELLO)
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["error"]["code"] == "budget_exceeded"
    assert "Budget “" in str(refused.value)
    assert provider.calls == 0


def test_async_calls_wait_without_holding_up_the_event_loop(
    guard: Guard, org: Organization, provider: Provider, drained: Drained
) -> None:
    budget = spending.budget(org, "3", unit="calls")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    async def run() -> list[Any]:
        ticking = asyncio.create_task(tick())
        async with ai_clients.AsyncOpenAI(api_key="sk-test", base_url=f"{provider.server.url}/v1") as client:
            with usage_context(org=org):
                calls = (client.chat.completions.create(model=MODEL, messages=HELLO) for _ in range(8))
                found = await asyncio.gather(*calls, return_exceptions=True)
        ticking.cancel()
        return found

    found = asyncio.run(run())
    assert sum(isinstance(each, openai.RateLimitError) for each in found) == 5
    assert provider.calls == 3
    assert ticks > 0
    settle(guard, drained)
    assert [spent(budget), reserved(budget)] == [3, 0]


def test_client_of_the_older_httpx(guard: Guard, org: Organization, provider: Provider) -> None:
    used_up(org)
    client = ai_clients.OpenAI(
        api_key="sk-test",
        base_url=f"{provider.server.url}/v1",
        http_client=httpx.Client(),  # type: ignore[arg-type]
    )
    with usage_context(org=org), pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model=MODEL, messages=HELLO)


def test_batch_is_refused_once_the_budget_is_used_up(guard: Guard, org: Organization, provider: Provider) -> None:
    used_up(org)
    with usage_context(org=org), pytest.raises(openai.RateLimitError):
        provider.client().batches.create(
            input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h"
        )
    assert provider.calls == 0


def test_lists_and_files_are_never_refused(guard: Guard, org: Organization, provider: Provider) -> None:
    used_up(org)
    with usage_context(org=org), pytest.raises(openai.APIError) as unreadable:
        provider.client(_strict_response_validation=True).models.list()
    assert not isinstance(unreadable.value, openai.RateLimitError)
    assert provider.calls > 0


def test_response_over_a_websocket_is_refused_before_it_is_sent(
    guard: Guard, org: Organization, drained: Drained
) -> None:
    budget = spending.budget(org, "1", unit="calls")
    heard: list[str] = []

    def play(peer: Peer) -> None:
        while True:
            heard.append(peer.hear()["type"])
            response = {"id": f"resp_{len(heard):020d}", "model": MODEL, "status": "completed", "usage": {}}
            peer.tell("response.created", response=response | {"status": "in_progress"})
            usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
            peer.tell("response.completed", response=response | {"usage": usage})

    with socket_server(play) as url:
        client = ai_clients.OpenAI(api_key="sk-test", base_url=url)
        with usage_context(org=org), client.responses.connect() as connected:
            connected.response.create(model=MODEL, input="Hi")
            while connected.recv().type != "response.completed":
                pass
            with pytest.raises(openai.RateLimitError) as refused:
                connected.response.create(model=MODEL, input="Hi")
    assert refused.value.code == "budget_exceeded"
    assert heard == ["response.create"]
    settle(guard, drained)
    assert [spent(budget), reserved(budget)] == [1, 0]
    assert UsageRecord.objects.filter(status="refused").count() == 1


# ── The database is away ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database does not answer the keeper."""

    def fail(*_args: Any, **_options: Any) -> Any:
        raise OperationalError("connection refused")

    for name in ("take", "renew", "settled", "close", "is_overdrawn"):
        monkeypatch.setattr(leases, name, fail)


@pytest.mark.usefixtures("away")
@pytest.mark.parametrize(("setting", "is_stopped"), [("open", False), ("closed", True)])
def test_without_the_database_the_budget_decides(
    guard: Guard, org: Organization, provider: Provider, setting: str, is_stopped: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    spending.budget(org, "10", when_unavailable=setting)
    with usage_context(org=org):
        assert [is_refused(provider), is_refused(provider)] == [is_stopped] * 2
    assert caplog.text.count("cannot be asked about budgets") == 1


def test_leases_last_while_the_database_is_away(
    guard: Guard, org: Organization, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    spending.budget(org, "1000", unit="calls", when_unavailable="closed")
    with usage_context(org=org):
        for _ in range(4):
            assert not is_refused(provider)
        free = sum(lease.free for lease in guard.holdings.leases())
        assert free > 0

        def fail(*_args: Any, **_options: Any) -> Any:
            raise OperationalError("connection refused")

        monkeypatch.setattr(leases, "take", fail)
        results = [is_refused(provider) for _ in range(int(free) + 2)]
    assert results == [False] * int(free) + [True] * 2


def test_error_of_our_own_stops_no_call(
    guard: Guard, org: Organization, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    spending.budget(org, "1", unit="calls")

    def fail(*_args: Any, **_options: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(keeper.Keeper, "ask", fail)
    with usage_context(org=org):
        assert not is_refused(provider)
    assert health().lost == 0


# ── Changes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_higher_limit_lets_calls_through_again(guard: Guard, org: Organization, provider: Provider) -> None:
    budget = used_up(org)
    with usage_context(org=org):
        assert is_refused(provider)
        Budget.objects.filter(pk=budget.pk).update(limit=2)
        time.sleep(holdings.REFUSED_S)
        assert not is_refused(provider)
        assert is_refused(provider)


def test_lower_limit_takes_free_leases_back(
    guard: Guard, org: Organization, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = spending.budget(org, "1000", unit="calls")
    with usage_context(org=org):
        for _ in range(4):
            provider.call()
        assert sum(lease.free for lease in guard.holdings.leases()) > 0
        Budget.objects.filter(pk=budget.pk).update(limit=1)
        monkeypatch.setattr(keeper, "RENEW_S", 1000)
        guard.keeper.tend()
        assert is_refused(provider)


@pytest.mark.parametrize("change", [{"is_active": False}, {"mode": "alert"}])
def test_budget_that_stops_nothing_any_more(
    guard: Guard, org: Organization, provider: Provider, change: dict[str, Any]
) -> None:
    budget = used_up(org)
    Budget.objects.filter(pk=budget.pk).update(**change)
    with usage_context(org=org):
        assert not is_refused(provider)  # the file is old; the database says so
    published.publish()
    assert not published.current().of_org  # type: ignore[union-attr]


def test_deleted_budget(guard: Guard, org: Organization, provider: Provider, drained: Drained) -> None:
    budget = spending.budget(org, "5", unit="calls")
    with usage_context(org=org):
        assert not is_refused(provider)
        Budget.objects.filter(pk=budget.pk).delete()
        assert not is_refused(provider)
    settle(guard, drained)
    assert not guard.holdings.leases()
    assert UsageRecord.objects.count() == 2


# ── Processes ────────────────────────────────────────────────────────────────────────────────────────────────────────

CALLER = """
import django; django.setup()
import openai
from ai_clients import OpenAI
from usage_billing import usage_context
with usage_context(org={org}):
    for _ in range({calls}):
        try:
            OpenAI(api_key="sk-test").chat.completions.create(
                model="gpt-4.1-mini", messages=[{{"role": "user", "content": "Hi"}}])
        except openai.RateLimitError:
            print("refused")
        else:
            print("answered")
"""


def test_process_knows_budgets_at_its_first_call_and_gives_back_at_its_end(
    guard: Guard, org: Organization, provider: Provider, outbox: Outbox, drained: Drained, database_url: str
) -> None:
    """Also with an outbox that nobody has published the budgets beside."""
    budget = spending.budget(org, "30", unit="calls")
    published.path().unlink()
    environment = os.environ | {
        "DATABASE_URL": database_url, "USAGE_OUTBOX_PATH": str(outbox.path), "USAGE_DRAIN": "off",
        "OPENAI_BASE_URL": f"{provider.server.url}/v1", "DEBUG": "1",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }  # fmt: skip
    command = [sys.executable, "-c", CALLER.format(org=org.pk, calls=10)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["answered"] * 10
    assert published.path().exists()
    assert reserved(budget) == 10  # what it had leased for calls to come is free again
    drained()
    assert [spent(budget), reserved(budget)] == [10, 0]


def test_forked_child_has_leases_of_its_own(guard: Guard, org: Organization, provider: Provider) -> None:
    spending.budget(org, "1000", unit="calls")
    with usage_context(org=org):
        for _ in range(3):
            provider.call()
        before = {lease.id: lease.holds for lease in guard.holdings.leases()}
        connection.close()
        pid = os.fork()
        if not pid:  # pragma: no cover - the child
            from usage_billing.recording import admission

            made = admission.guard
            is_new = isinstance(made, Guard) and made is not guard and not made.holdings.leases()
            os._exit(0 if is_new else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert {lease.id: lease.holds for lease in guard.holdings.leases()} == before
