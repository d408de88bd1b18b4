"""Budgets of the demo, a request for more, and the alerts that they raised.

Limits follow from what is spent, so that one budget is used up, one is near its limit and one has room.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

from usage_billing.budgets import editing, requests
from usage_billing.budgets.state import state
from usage_billing.ledger import writer
from usage_billing.management.demo_data import SUPERADMIN, Account, accounts
from usage_billing.management.demo_data_usage import URLS
from usage_billing.models import (
    AlertChannel,
    AlertDelivery,
    AlertFiring,
    AlertRoute,
    AlertRule,
    Budget,
    Organization,
)
from usage_billing.recording import Attribution, Event
from usage_billing.tenancy.scope import EVERYTHING, Scope, of_organization

NAMES: dict[str, dict[str, str]] = {
    "month": {"ru": "Месяц, всё вместе", "en": "The whole month"},
    "writer": {"ru": "Обзоры трендов", "en": "Trend reports"},
    "cheaper": {"ru": "Проверки агента", "en": "Checks by the agent"},
    "person": {"ru": "Личный лимит", "en": "A person's calls"},
    "paused": {"ru": "Летний запуск", "en": "Summer launch"},
    "mail": {"ru": "Почта владельцев", "en": "Owners' mail"},
    "hook": {"ru": "Дежурный канал", "en": "On-call channel"},
    "errors": {"ru": "Много ошибок", "en": "Many errors"},
    "reason": {
        "ru": "Готовим отчёт для партнёров, нужно вдвое больше обзоров.",
        "en": "We prepare a report for partners and need twice the reviews.",
    },
}
STOPPED = 4
"""Calls that a budget has refused."""
PROBLEM = "The server answered with status 503."


def create_budgets(now: datetime) -> int:
    """Set budgets for the demo organisations that have none. Returns how many."""
    made = 0
    for number, account in enumerate(accounts()):
        if account.organization.stopped_days_ago or Budget.objects.filter(org=account.org).exists():
            continue
        budgets = _of_month(account, now, Decimal("1.08") + Decimal(number) / 4)
        if not number:
            budgets += _of_first(account, now)
            _alerts(account, budgets, now)
        made += len(budgets)
    return made


def _word(account: Account, name: str) -> str:
    return NAMES[name][account.organization.language]


def _of_month(account: Account, now: datetime, room: Decimal) -> list[Budget]:
    budget = _set(account, EVERYTHING, SUPERADMIN, now, name=_word(account, "month"), limit=Decimal(1))
    return [_with_room(budget, EVERYTHING, SUPERADMIN, now, room)]


def _of_first(account: Account, now: datetime) -> list[Budget]:
    """One budget of each mode, window and unit."""
    owner, owner_name = of_organization(account.org.pk), account.organization.people[0]
    writer = _set(
        account, owner, owner_name, now,
        name=_word(account, "writer"), limit=Decimal(1), mode="stop", agent_id="trends_scout",
    )  # fmt: skip
    cheaper = _set(
        account, owner, owner_name, now,
        name=_word(account, "cheaper"), limit=Decimal(1), unit="tokens", mode="downgrade",
        replacement="anthropic:claude-haiku-5-5", agent_id="legal_guard",
    )  # fmt: skip
    person = _set(
        account, owner, owner_name, now,
        name=_word(account, "person"), limit=Decimal(1), unit="calls", window="week", user_id=account.user_ids[1],
    )  # fmt: skip
    paused = _set(
        account, owner, owner_name, now,
        name=_word(account, "paused"), limit=Decimal(5000), unit="rub", window="total", is_active=False,
    )  # fmt: skip
    budgets = [
        _with_room(writer, owner, owner_name, now, Decimal("1.04")),
        _with_room(cheaper, owner, owner_name, now, Decimal("0.97")),
        _with_room(person, owner, owner_name, now, Decimal("1.6")),
        paused,
    ]
    _stop_calls(account, budgets[0], now)
    member = Scope(member_org_ids=frozenset({account.org.pk}), user_id=account.user_ids[1])
    requests.ask(budgets[0], scope=member, limit=budgets[0].limit * 2, reason=_word(account, "reason"))
    return budgets


def _stop_calls(account: Account, budget: Budget, now: datetime) -> None:
    """The calls that the budget refused in the last hours: each would have cost more than what is left."""
    found = state(budget, now)
    told = {
        "id": budget.pk, "name": budget.name, "unit": budget.unit,
        "limit": f"{budget.limit:.2f}", "spent": f"{found.spent:.2f}", "reserved": "0.00", "wanted": "2.40",
    }  # fmt: skip
    writer.add(
        [
            Event(
                request_id=f"demo-stopped-{account.organization.slug}-{number}",
                started_at=(now - timedelta(minutes=11 * number)).timestamp(),
                duration_ms=0,
                flavour="responses",
                url=URLS["responses"],
                status="refused",
                error_code="budget_exceeded",
                model="gpt-6.1-sol",
                response={"budget": told},
                attribution=Attribution(
                    org_id=account.org.pk, agent_id=budget.agent_id, request_type="trend_report", task_type="analyse"
                ),
            )
            for number in range(1, STOPPED + 1)
        ]
    )


def _set(account: Account, scope: Scope, by: str, now: datetime, **values: Any) -> Budget:
    return editing.create(scope=scope, by=by, org=account.org, values=values, now=now)


def _with_room(budget: Budget, scope: Scope, by: str, now: datetime, room: Decimal) -> Budget:
    """Give the budget a round limit of so many times what is spent."""
    spent = state(budget, now).spent
    step = Decimal(5) if budget.unit in ("usd", "calls") else Decimal(1000)
    step = step if spent > 20 * step else Decimal(1)
    limit = max(step, (spent * room / step).to_integral_value(ROUND_CEILING) * step)
    return editing.change(budget, scope=scope, by=by, values={"limit": limit})


# ── Alerts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _alerts(account: Account, budgets: list[Budget], now: datetime) -> None:
    """Two channels, a rule, an alert that fires, one that is over, and how they were delivered."""
    org = account.org
    mail = _channel(org, _word(account, "mail"), "email", f"{account.organization.people[0]}@{org.slug}.example")
    hook = _channel(org, _word(account, "hook"), "slack", "https://hooks.slack.example/services/T0/B0/demo")
    rule = AlertRule.objects.create(org=org, name=_word(account, "errors"), kind="errors", bound=Decimal(5))
    AlertRoute.objects.create(org=org, rule=rule, channel=hook)
    near = budgets[1]
    found = state(near, now)
    firing = AlertFiring.objects.create(
        org=org, budget=near, key=f"{found.window.first}/80", value=found.spent, bound=near.limit * Decimal("0.8"),
        began_at=now - timedelta(hours=7), told_at=now - timedelta(hours=7),
    )  # fmt: skip
    over = AlertFiring.objects.create(
        org=org, rule=rule, key="", value=Decimal("11.4"), bound=Decimal(5), state="resolved",
        began_at=now - timedelta(days=3, hours=2), told_at=now - timedelta(days=3, hours=2),
        resolved_at=now - timedelta(days=3), ended="below",
    )  # fmt: skip
    _delivery(firing, mail, "firing", now - timedelta(hours=7))
    _delivery(firing, hook, "firing", now - timedelta(hours=7), state="waiting", now=now)
    _delivery(over, hook, "firing", now - timedelta(days=3, hours=2))
    _delivery(over, hook, "resolved", now - timedelta(days=3), state="failed")


def _channel(org: Organization, name: str, kind: str, target: str) -> AlertChannel:
    return AlertChannel.objects.create(org=org, name=name, kind=kind, target=target)


def _delivery(
    firing: AlertFiring,
    channel: AlertChannel,
    event: str,
    at: datetime,
    state: str = "sent",
    now: datetime | None = None,
) -> None:
    is_sent = state == "sent"
    AlertDelivery.objects.create(
        org=firing.org, firing=firing, channel=channel, event=event, state=state, value=firing.value,
        recipient=channel.target if channel.kind == "email" else "",
        attempts=1 if is_sent else 8 if state == "failed" else 4,
        problem="" if is_sent else PROBLEM,
        next_attempt_at=at if now is None else now + timedelta(minutes=24),
        created_at=at, sent_at=at + timedelta(seconds=2) if is_sent else None,
    )  # fmt: skip
