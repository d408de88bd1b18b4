"""Objects for tests, with defaults."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from django.contrib.auth.models import User
from django.test import RequestFactory

from usage_billing.auth.tokens import Pair, begin_session
from usage_billing.models import ExchangeRate, Membership, Organization, PriceOverride
from usage_billing.recording import Attribution, Event

NOON = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)
"""A Wednesday, noon in Moscow."""

CHAT = "https://api.openai.com/v1/chat/completions"
MESSAGES = "https://api.anthropic.com/v1/messages"

_numbers = itertools.count(1)


def organization(name: str = "", timezone: str = "Europe/Moscow") -> Organization:
    number = next(_numbers)
    return Organization.objects.create(name=name or f"Org {number}", slug=f"org-{number}", timezone=timezone)


def today(org: Organization) -> date:
    """Return the organisation's billing day now."""
    return datetime.now(org.zone).date()


def user(name: str = "", **options: Any) -> User:
    return User.objects.create_user(name or f"user{next(_numbers)}", password="secret", **options)


def superadmin(name: str = "") -> User:
    return user(name, is_staff=True, is_superuser=True)


def owner(org: Organization, name: str = "") -> User:
    person = user(name)
    Membership.objects.create(org=org, user=person, role=Membership.Role.OWNER)
    return person


def member(org: Organization, name: str = "") -> User:
    person = user(name)
    Membership.objects.create(org=org, user=person, role=Membership.Role.MEMBER)
    return person


def api_session(person: User) -> Pair:
    """Log a person in at the API."""
    return begin_session(RequestFactory().get("/"), person)


TODAY = NOON.date()


def rate(day: date = TODAY, usd_rub: str = "80") -> ExchangeRate:
    return ExchangeRate.objects.create(date=day, usd_rub=Decimal(usd_rub))


def own_price(
    model_pattern: str = "*",
    prices: dict[str, str] | None = None,
    *,
    provider: str = "openai",
    org: Organization | None = None,
    valid_from: date = date(2026, 1, 1),
) -> PriceOverride:
    """Create a price override, by default 1 USD per million input tokens and 2 USD output: 0.0012 USD for `event()`."""
    return PriceOverride.objects.create(
        provider=provider,
        model_pattern=model_pattern,
        org=org,
        valid_from=valid_from,
        prices={"input_mtok": "1", "output_mtok": "2"} if prices is None else prices,
    )


def chat_usage(prompt: int = 1000, completion: int = 100, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def event(
    *,
    org: Organization | int | str | None = None,
    user: User | int | None = None,
    usage: Any = None,
    at: datetime = NOON,
    request_id: str = "",
    attribution: dict[str, Any] | None = None,
    **fields: Any,
) -> Event:
    """Return a chat completion of 1,000 + 100 tokens on gpt-4.1-mini at 0.40 and 1.60 USD per million: 0.00056 USD."""
    given: dict[str, Any] = {"flavour": "chat", "url": CHAT, "status": "succeeded", "model": "gpt-4.1-mini"}
    block = chat_usage() if usage is None else usage
    return Event(
        request_id=request_id or f"chatcmpl-{next(_numbers):029d}",
        started_at=at.timestamp(),
        duration_ms=1200,
        usage=block if isinstance(block, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(block)),
        attribution=Attribution(
            org_id=org.pk if isinstance(org, Organization) else org,
            user_id=user.pk if isinstance(user, User) else user,
            **(attribution or {}),
        ),
        **{**given, **fields},
    )
