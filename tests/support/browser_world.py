"""Two tenants with three weeks of calls, and one person of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User

from tests.support import factories, programs
from tests.support.rows import enter, row
from usage_billing.auth import provider_keys, service_tokens
from usage_billing.models import (
    AlertChannel,
    AlertDelivery,
    AlertFiring,
    AlertRule,
    Budget,
    BudgetChange,
    BudgetRequest,
    Organization,
    UsageRecord,
)
from usage_billing.tenancy.scope import EVERYTHING

DAYS = 21
MODELS = ("gpt-4.1", "gpt-4.1-mini", "claude-sonnet-4-5", "claude-haiku-4-5")
AGENTS = ("legal_guard", "repurpose", "")
SECRET_USD = Decimal("4.4321")
"""The other tenant's cost. No sum of other amounts equals it."""
TYPES = ("participant_enrichment", "weekly_digest", "custom_analysis")


@dataclass
class World:
    """`ours` has `owner` and `member`. Of the people that tests log in as, only the superadmin sees `theirs`."""

    ours: Organization
    theirs: Organization
    secret: UsageRecord
    ids: dict[str, int]
    """Of our organisation, and of its budget, alert rule and channel, service token and provider key."""

    @classmethod
    def build(cls) -> World:
        now = datetime.now(UTC)
        ours, theirs = factories.organization("Северный ветер"), factories.organization("Globex Secret Ltd")
        factories.superadmin("admin")
        owner, member = factories.owner(ours, "owner"), factories.member(ours, "member")
        factories.user("stranger")
        factories.rate(factories.today(ours))
        enter(*(call for day in range(DAYS) for call in _calls(ours, [owner, member], day, now)))
        enter(row(theirs, request_type="globex_secret", cost_usd=SECRET_USD, cost_rub=SECRET_USD * 80, created_at=now))
        ids = _watch(ours, theirs, member, now) | _let_programs_in(ours)
        return cls(ours, theirs, UsageRecord.objects.get(org=theirs), ids)


def _watch(ours: Organization, theirs: Organization, member: User, now: datetime) -> dict[str, int]:
    """Set budgets of each kind, a request, and alerts with their deliveries."""
    first = factories.today(ours).replace(day=1)
    given: dict[str, Any] = {"org": ours, "starts_on": first}
    month = Budget.objects.create(name="Весь месяц", limit=30, window="total", **given)
    Budget.objects.create(name="Агент", limit=100_000, unit="tokens", mode="stop", agent_id="legal_guard", **given)
    Budget.objects.create(name="Личный", limit=500, unit="calls", user=member, **given)
    Budget.objects.create(
        name="Дешевле", limit=9, unit="rub", mode="downgrade", replacement="openai:gpt-4.1-mini", is_superadmins=True,
        **given,
    )  # fmt: skip
    Budget.objects.create(name="Пауза", limit=1, is_active=False, **given)
    Budget.objects.create(org=theirs, name="globex_secret", limit=5, starts_on=first)
    BudgetRequest.objects.create(org=ours, budget=month, user=member, limit=60, reason="Отчёт для партнёров")
    BudgetChange.objects.create(
        org=ours, budget=month, budget_name=month.name, by="owner", fields={"limit": ["10", "30"], "mode": ["", "stop"]}
    )
    channel = AlertChannel.objects.create(
        org=ours, name="Чат", kind="slack", target="https://hooks.example/" + "x" * 90
    )
    rule = AlertRule.objects.create(org=ours, name="Ошибки", kind="errors", bound=5, scope={"agent_id": "legal_guard"})
    firing = AlertFiring.objects.create(org=ours, budget=month, key=f"{first}/80", value=25, bound=24)
    AlertFiring.objects.create(
        org=ours, rule=rule, key="", value=12, bound=5, state="resolved", ended="below", resolved_at=now
    )
    AlertDelivery.objects.create(
        org=ours, firing=firing, channel=channel, event="firing", attempts=3, problem="The server answered: 503."
    )
    return {"org": ours.pk, "budget": month.pk, "rule": rule.pk, "channel": channel.pk}


def _let_programs_in(ours: Organization) -> dict[str, int]:
    """Tokens of each state, with their history, and a provider key; a token of all organisations."""
    token, _ = programs.token(ours, name="Шлюз", allowed_models=["gpt-4.1-mini", "claude-haiku-4-5"])
    rotated, _ = programs.token(ours, "read", name="Отчёты" * 8)
    service_tokens.rotate(rotated, scope=EVERYTHING, by="owner")
    service_tokens.revoke(programs.token(ours, "ingest")[0], scope=EVERYTHING, by="owner")
    programs.token(None, "ingest", name="collector")
    key = provider_keys.save(scope=EVERYTHING, by="owner", org=ours, provider="openai", secret="sk-0123456789abcdef")
    return {"token": token.pk, "key": key.pk}


def _calls(org: Organization, people: list[User], day: int, now: datetime) -> list[dict[str, Any]]:
    at = now - timedelta(days=day, minutes=5)
    calls = []
    for number in range(8 + day % 5):
        model = MODELS[(number + day) % len(MODELS)]
        usd = Decimal(number + 1) / 100 + Decimal(day % 7) / 50 + (Decimal(9) if day == 9 and not number else 0)
        calls.append(
            row(
                org,
                user_id=people[number % 2].pk if number % 3 else None,
                agent_id=AGENTS[number % len(AGENTS)],
                request_type=TYPES[number % len(TYPES)],
                ai_provider="anthropic" if model.startswith("claude") else "openai",
                ai_model=model,
                prompt_tokens=4000 + 300 * number,
                completion_tokens=600,
                cached_tokens=500 * (number % 3),
                cost_usd=usd,
                cost_rub=usd * 80,
                content_id=f"post-{number % 4}" if number % 2 else None,
                workflow_id="autumn-campaign" if number % 4 == 0 else None,
                created_at=at - timedelta(minutes=7 * number),
            )
        )
    failed = {"cost_usd": Decimal(0), "cost_rub": Decimal(0), "status": "failed"}
    unknown = {
        "cost_usd": None,
        "cost_rub": None,
        "price_source": "unpriced:unknown-model",
        "ai_model": "gpt-99-preview",
    }
    calls.append(row(org, user_id=people[1].pk, error_code="429 rate_limit_exceeded", created_at=at, **failed))
    calls.append(row(org, user_id=people[0].pk, created_at=at, **unknown))
    return calls
