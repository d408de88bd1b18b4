"""Demo organisations with three months of plausible usage.

The calls are invented but go through the real ledger. They are the same on every machine: the random numbers are seeded
with organisation and day.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password

from usage_billing.models import ExchangeRate, Membership, Organization
from usage_billing.recording import Attribution, Event
from usage_billing.recording.event import Flavour, Status

further: list[Callable[[datetime], str]] = []
"""Functions of other apps that add to the demo organisations: current time → a sentence about what they made."""

DAYS = 92
PASSWORD = "demo-password"  # noqa: S105 - printed, and made only where DEBUG is on
SUPERADMIN = "admin"


@dataclass(frozen=True)
class DemoOrganization:
    """An organisation and its people, owner first. `growth`: factor on `calls_a_day` over the three months."""

    slug: str
    name: str
    timezone: str
    people: tuple[str, ...]
    calls_a_day: int
    growth: float


ORGANIZATIONS = (
    DemoOrganization("severny-veter", "Северный ветер", "Europe/Moscow", ("owner", "member", "irina"), 46, 1.6),
    DemoOrganization("romashka-media", "Ромашка Медиа", "Asia/Yekaterinburg", ("olga", "timur"), 24, 0.9),
    DemoOrganization("atlas-studio", "Atlas Content Studio", "Europe/Berlin", ("anna", "mark"), 14, 2.2),
)


@dataclass(frozen=True)
class Habit:
    """A kind of call: agent, model and average tokens."""

    weight: int
    agent_id: str
    request_type: str
    flavour: Flavour
    model: str
    tokens_in: int
    tokens_out: int
    cached: float = 0.0
    by_system: bool = False
    platform: str = ""


HABITS = (
    Habit(30, "community_concierge", "comment_reply", "chat", "gpt-6.1-terra", 1400, 180, 0.5, platform="telegram"),
    Habit(8, "legal_guard", "legal_check", "messages", "claude-sonnet-5-5", 3800, 700, 0.4),
    Habit(5, "trends_scout", "trend_report", "responses", "gpt-6.1-sol", 9000, 1500),
    Habit(6, "research_factcheck", "fact_check", "messages", "claude-opus-5-5", 5200, 1200, 0.3),
    Habit(10, "repurpose", "repurpose", "messages", "claude-haiku-5-5", 2100, 600, platform="vk"),
    Habit(3, "multimedia_producer", "image_generation", "images", "gpt-image-2", 60, 1800),
    Habit(22, "", "participant_enrichment", "responses", "gpt-6-luna", 2600, 420, by_system=True),
    Habit(1, "", "weekly_digest", "messages", "claude-sonnet-5-5", 6000, 900, by_system=True),
    Habit(6, "", "custom_analysis", "chat", "gpt-6.1-sol", 4200, 800),
    Habit(2, "trends_scout", "trend_report", "embeddings", "text-embedding-3-small", 3000, 0),
    Habit(1, "research_factcheck", "fact_check", "responses", "gpt-7-preview", 3000, 900),  # no price is known for it
)

URLS: dict[Flavour, str] = {
    "chat": "https://api.openai.com/v1/chat/completions",
    "responses": "https://api.openai.com/v1/responses",
    "embeddings": "https://api.openai.com/v1/embeddings",
    "images": "https://api.openai.com/v1/images/generations",
    "messages": "https://api.anthropic.com/v1/messages",
}


def create_people() -> None:
    """Create the missing organisations, users and superadmin."""
    password = functools.cache(lambda: make_password(PASSWORD))  # one hash for all: each takes a third of a second
    for organization in ORGANIZATIONS:
        org, _ = Organization.objects.get_or_create(
            slug=organization.slug, defaults={"name": organization.name, "timezone": organization.timezone}
        )
        for name in organization.people:
            address = f"{name}@{organization.slug}.example"
            user, _ = _users().get_or_create(username=name, defaults={"password": password, "email": address})
            role = Membership.Role.OWNER if name == organization.people[0] else Membership.Role.MEMBER
            Membership.objects.get_or_create(org=org, user=user, defaults={"role": role})
    _users().get_or_create(username=SUPERADMIN, defaults={"password": password, "is_staff": True, "is_superuser": True})


def _users() -> Any:
    return get_user_model()._default_manager


def create_rates(today: date) -> None:
    """Create invented exchange rates on working days, from before the first call."""
    dice, rate = random.Random("rates"), Decimal("81.2500")  # noqa: S311 - dice of a demonstration
    rates = []
    for number in range(DAYS + 12, -1, -1):
        day = today - timedelta(days=number)
        rate += Decimal(dice.randint(-6500, 6500)) / 10_000
        if day.weekday() < 5:
            rates.append(ExchangeRate(date=day, usd_rub=rate, source=ExchangeRate.Source.DEMO))
    ExchangeRate.objects.bulk_create(rates, ignore_conflicts=True)


def calls_of(day: date, now: datetime) -> Iterator[Event]:
    """Yield the calls of one billing day, up to `now`."""
    for organization in ORGANIZATIONS:
        yield from _calls_of(organization, day, now)


def _calls_of(organization: DemoOrganization, day: date, now: datetime) -> Iterator[Event]:
    org, people = _org_and_people(organization)
    dice = random.Random(f"{organization.slug} {day}")  # noqa: S311 - dice of a demonstration
    progress = 1 - min(DAYS, max(0, (now.date() - day).days)) / DAYS
    calls = organization.calls_a_day * (1 + (organization.growth - 1) * progress) * dice.uniform(0.7, 1.3)
    if day.weekday() >= 5:
        calls *= 0.3
    for number in range(round(calls)):
        at = datetime.combine(day, time(), org.zone) + timedelta(minutes=dice.triangular(7 * 60, 23 * 60, 14 * 60))
        event = _call(org.pk, people, dice, at, f"demo-{organization.slug}-{day}-{number:04d}")
        if at < now:
            yield event


def _org_and_people(organization: DemoOrganization) -> tuple[Organization, list[int]]:
    org = Organization.objects.get(slug=organization.slug)
    ids = dict(_users().filter(username__in=organization.people).values_list("username", "pk"))
    return org, [ids[name] for name in organization.people]


def _call(org_id: int, people: list[int], dice: random.Random, at: datetime, request_id: str) -> Event:
    habit = dice.choices(HABITS, [habit.weight for habit in HABITS])[0]
    spread = dice.lognormvariate(0, 0.45)
    fate = dice.random()
    status: Status = "failed" if fate < 0.012 else "aborted" if fate < 0.017 else "succeeded"
    usage = None if status == "failed" else _usage(habit, spread, cut_short=status == "aborted")
    return Event(
        request_id=request_id,
        started_at=at.timestamp(),
        duration_ms=round(300 + habit.tokens_out * spread * dice.uniform(6, 14)),
        flavour=habit.flavour,
        url=URLS[habit.flavour],
        status=status,
        error_code=dice.choice(["429 rate_limit_exceeded", "529 overloaded_error"]) if status == "failed" else "",
        model=habit.model,
        usage=msgspec.Raw(msgspec.json.encode(usage)),
        attribution=Attribution(
            org_id=org_id,
            user_id=None if habit.by_system else dice.choices(people, range(len(people), 0, -1))[0],
            agent_id=habit.agent_id,
            request_type=habit.request_type,
            platform=habit.platform,
        ),
    )


def _usage(habit: Habit, spread: float, *, cut_short: bool) -> dict[str, Any] | None:
    """Return a usage block in the provider's format."""
    tokens_in, tokens_out = round(habit.tokens_in * spread) + 8, round(habit.tokens_out * spread)
    cached = round(tokens_in * habit.cached)
    match habit.flavour:
        case "messages":
            return {
                "input_tokens": tokens_in - cached,
                "cache_read_input_tokens": cached,
                "output_tokens": 1 if cut_short else tokens_out,
                "service_tier": "standard",
            }
        case _ if cut_short:
            return None  # OpenAI reports the usage of a stream in its last event
        case "chat":
            return {
                "prompt_tokens": tokens_in,
                "completion_tokens": tokens_out,
                "total_tokens": tokens_in + tokens_out,
                "prompt_tokens_details": {"cached_tokens": cached},
            }
        case "embeddings":
            return {"prompt_tokens": tokens_in, "total_tokens": tokens_in}
        case "images":
            return {
                "input_tokens": tokens_in,
                "input_tokens_details": {"text_tokens": tokens_in, "image_tokens": 0},
                "output_tokens": tokens_out,
                "total_tokens": tokens_in + tokens_out,
            }
        case _:
            return {
                "input_tokens": tokens_in,
                "output_tokens": tokens_out,
                "output_tokens_details": {"reasoning_tokens": tokens_out // 3},
                "total_tokens": tokens_in + tokens_out,
            }
