"""The demo organisations, their people and their log-ins.

Everything that the demo invents goes through the real ledger. It is the same on every machine for the same moment: the
random numbers are seeded with organisation and day.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password

from usage_billing.models import ExchangeRate, Membership, Organization

further: list[Callable[[datetime], str]] = []
"""Functions of other apps that add to the demo organisations: current time → a sentence about what they made."""

DAYS = 200
"""Two periods of 90 days, so that the longest comparison has a whole period before it, and some more."""
PASSWORD = "demo-password"  # noqa: S105 - printed, and made only where DEBUG is on
SUPERADMIN = "admin"


@dataclass(frozen=True)
class DemoOrganization:
    """An organisation and its people, owner first. `growth`: factor on `calls_a_day` from the first day to the last.

    features: the tag `feature` of its tasks (`demo_data_tasks.TASKS`); empty: all. stopped_days_ago: its last call.
    """

    slug: str
    name: str
    timezone: str
    language: str
    people: tuple[str, ...]
    calls_a_day: int
    growth: float
    features: frozenset[str] = frozenset()
    stopped_days_ago: int = 0


ORGANIZATIONS = (
    DemoOrganization(
        "severny-veter", "Северный ветер", "Europe/Moscow", "ru",
        ("owner", "member", "irina", "sergey", "polina", "gleb"), 33, 1.9,
    ),
    DemoOrganization(
        "romashka-media", "Ромашка Медиа", "Asia/Yekaterinburg", "ru",
        ("olga", "timur", "zhanna"), 9, 1.2,
        frozenset({"replies", "review", "covers", "publishing", "trends", "analytics", "community"}),
    ),
    DemoOrganization(
        "atlas-studio", "Atlas Content Studio", "Europe/Berlin", "en",
        ("anna", "mark", "julia"), 5, 2.2,
        frozenset({"chat", "review", "covers", "publishing", "analytics", "community"}),
    ),
    DemoOrganization(
        "gorod-n", "Город Н", "Asia/Novosibirsk", "ru",
        ("viktor", "lena"), 3, 1.0, frozenset({"review", "publishing", "podcasts"}),
    ),
    DemoOrganization(
        "lumen-learning", "Lumen Learning", "Europe/London", "en",
        ("kate", "omar"), 2, 4.0, frozenset({"chat", "search", "podcasts"}),
    ),
    DemoOrganization(
        "tikhaya-gavan", "Тихая гавань", "Europe/Kaliningrad", "ru",
        ("nadya", "roman"), 4, 0.7, frozenset({"chat", "replies"}), stopped_days_ago=31,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class DemoLogin:
    """A log-in of the demo; its password is `PASSWORD`. `organization` is the name, empty for the superadmin."""

    username: str
    role: Literal["superadmin", "owner", "member"]
    organization: str = ""


def logins() -> list[DemoLogin]:
    """The log-ins that `seed_demo` makes, superadmin first. Nothing is read from the database."""
    people = [
        DemoLogin(name, "owner" if name == organization.people[0] else "member", organization.name)
        for organization in ORGANIZATIONS
        for name in organization.people
    ]
    return [DemoLogin(SUPERADMIN, "superadmin"), *people]


@dataclass(frozen=True)
class Account:
    """A demo organisation as the database knows it, with the ids of its people, owner first."""

    organization: DemoOrganization
    org: Organization
    user_ids: tuple[int, ...]


def accounts() -> list[Account]:
    """The demo organisations that exist, in the order of `ORGANIZATIONS`."""
    orgs = Organization.objects.in_bulk([each.slug for each in ORGANIZATIONS], field_name="slug")
    names = [name for organization in ORGANIZATIONS for name in organization.people]
    ids = dict(_users().filter(username__in=names).values_list("username", "pk"))
    return [
        Account(each, orgs[each.slug], tuple(ids[name] for name in each.people if name in ids))
        for each in ORGANIZATIONS
        if each.slug in orgs
    ]


def create_people() -> None:
    """Create the missing organisations, users and superadmin."""
    password = functools.cache(lambda: make_password(PASSWORD))  # one hash for all: each takes a third of a second
    for organization in ORGANIZATIONS:
        defaults = {"name": organization.name, "timezone": organization.timezone, "language": organization.language}
        org, _ = Organization.objects.get_or_create(slug=organization.slug, defaults=defaults)
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
    days = [today - timedelta(days=number) for number in range(DAYS + 12, -1, -1)]
    rates = [
        ExchangeRate(date=day, usd_rub=_rate(day), source=ExchangeRate.Source.DEMO) for day in days if day.weekday() < 5
    ]
    ExchangeRate.objects.bulk_create(rates, ignore_conflicts=True)


def _rate(day: date) -> Decimal:
    """The rate of a day depends on nothing but the day, so that days added later fit those that are there."""
    noise = random.Random(f"rate {day}").uniform(-0.35, 0.35)  # noqa: S311 - dice of a demonstration
    waves = 2.4 * math.sin(day.toordinal() / 29) + 1.1 * math.sin(day.toordinal() / 11)
    return Decimal(f"{81.25 + waves + noise:.4f}")
