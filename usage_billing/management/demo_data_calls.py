"""The calls of the demo organisations, day by day: tasks drawn by weight, and incidents."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from usage_billing.management import demo_data_incidents
from usage_billing.management.demo_data import DAYS, Account
from usage_billing.management.demo_data_content import DemoPiece, piece_on
from usage_billing.management.demo_data_tasks import DIGEST, DISCOUNTS_SINCE, TASKS, Step, Task, model_on
from usage_billing.management.demo_data_usage import URLS, Counts, block, units
from usage_billing.recording import Attribution, Event
from usage_billing.recording.event import Status

WEEKDAYS = (1.1, 1.15, 1.1, 1.05, 0.85, 0.28, 0.24)
"""Monday first: how busy a day is."""
ENVIRONMENTS = {"prod": 88, "staging": 8, "dev": 4}
UNTAGGED = 0.05
WARM = 0.78
"""How often the cache is warm."""
FAILED, ABORTED = 0.006, 0.004
FAILURES = ("429 rate_limit_exceeded", "500 server_error", "ReadTimeout")
SPREAD = 0.4
"""Deviation of the logarithm of token counts."""


def calls_of(account: Account, day: date, now: datetime) -> list[Event]:
    """The calls of one organisation on one of its billing days, up to `now`."""
    days_ago = (now.astimezone(account.org.zone).date() - day).days
    if days_ago < account.organization.stopped_days_ago:
        return []
    events = [*_ordinary(_Day(account, day, days_ago)), *demo_data_incidents.calls_of(account, day, now)]
    return [event for event in events if event.started_at < now.timestamp()]


@dataclass
class _Day:
    """A day of an organisation, with its dice and the number of calls so far."""

    account: Account
    day: date
    days_ago: int
    count: int = 0
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(f"{self.account.organization.slug} {self.day}")  # noqa: S311 - dice of a demonstration

    @property
    def today(self) -> date:
        return self.day + timedelta(days=self.days_ago)

    def at(self, minutes: float) -> datetime:
        return datetime.combine(self.day, time(), self.account.org.zone) + timedelta(minutes=minutes)

    def next_id(self) -> str:
        self.count += 1
        return f"demo-{self.account.organization.slug}-{self.day}-{self.count:04d}"


def _ordinary(day: _Day) -> Iterator[Event]:
    organization = day.account.organization
    if day.day.weekday() == 0:
        yield from _work(day, DIGEST, day.at(8 * 60 + 5), {"week": str(day.day - timedelta(days=7))})
    progress = 1 - min(DAYS, max(0, day.days_ago)) / DAYS
    calls = organization.calls_a_day * (1 + (organization.growth - 1) * progress)
    calls *= WEEKDAYS[day.day.weekday()] * day.dice.uniform(0.8, 1.2)
    tasks = [task for task in TASKS if not organization.features or task.feature in organization.features]
    weights = [task.weight for task in tasks]
    until = day.count + round(calls)
    while day.count < until:
        task = day.dice.choices(tasks, weights)[0]
        bounds = (2 * 60, 5 * 60, 3 * 60) if task.at_night else (7 * 60, 23 * 60, 14 * 60)
        yield from _work(day, task, day.at(day.dice.triangular(*bounds)), {})


def _work(day: _Day, task: Task, at: datetime, metadata: Mapping[str, Any]) -> Iterator[Event]:
    """The calls of one task, one after another."""
    dice = day.dice
    made = [
        (step, 1 + repetition * step.grows) for step in task.steps for repetition in range(dice.randint(*step.times))
    ]
    size = dice.lognormvariate(0, SPREAD)
    shared = _attribution(day, task, metadata, is_workflow=len(made) > 1)
    for step, length in made:
        event = _call(day, step, at, size * length, task.context)
        words = {name: getattr(step, name) for name in ("agent_id", "request_type", "task_type")}
        yield replace(event, attribution=replace(shared, **words))
        at += timedelta(milliseconds=event.duration_ms, seconds=dice.uniform(1, 25))


def _attribution(day: _Day, task: Task, metadata: Mapping[str, Any], *, is_workflow: bool) -> Attribution:
    dice, user_ids = day.dice, day.account.user_ids
    piece = piece_on(day.account.organization.slug, day.days_ago, dice) if task.of_content else None
    environment = dice.choices(list(ENVIRONMENTS), list(ENVIRONMENTS.values()))[0]
    tags = {"feature": task.feature, "team": task.team, "env": environment}
    return Attribution(
        org_id=day.account.org.pk,
        user_id=None if task.by_system else dice.choices(user_ids, range(len(user_ids), 0, -1))[0],
        workflow_id=str(uuid.UUID(int=dice.getrandbits(128), version=4)) if is_workflow else None,
        platform=dice.choice(task.platforms) if task.platforms else _of(piece, "platform"),
        content_id=_of(piece, "id") or None,
        content_type=_of(piece, "content_type"),
        tags={} if dice.random() < UNTAGGED else tags,
        metadata=dict(metadata),
    )


def _of(piece: DemoPiece | None, name: str) -> str:
    return str(getattr(piece, name)) if piece else ""


def _call(day: _Day, step: Step, at: datetime, size: float, context: Mapping[str, str]) -> Event:
    """One call, without its attribution."""
    dice = day.dice
    counts = _counts(step, size * dice.uniform(0.9, 1.1), dice)
    fate = dice.random()
    status: Status = "failed" if fate < FAILED else "aborted" if fate < FAILED + ABORTED else "succeeded"
    usage = block(step.api, counts) if status == "succeeded" else None
    return Event(
        request_id=day.next_id(),
        started_at=at.timestamp(),
        duration_ms=round(250 + counts.tokens_in / 90 + counts.tokens_out * dice.uniform(5, 12)),
        flavour=step.api,
        url=URLS[step.api],
        status=status,
        error_code=dice.choice(FAILURES) if status == "failed" else "",
        model=model_on(step.model, day.day, day.today),
        usage=msgspec.Raw(msgspec.json.encode(usage)),
        units=units(step.api, counts) if status == "succeeded" else {},
        context=dict(context) if day.days_ago <= DISCOUNTS_SINCE else {},
    )


def _counts(step: Step, size: float, dice: random.Random) -> Counts:
    """A warm cache serves a part of the input; with Anthropic a cold one is written, and that costs more."""
    tokens_in, tokens_out = round(step.tokens_in * size) + 8, round(step.tokens_out * size)
    cacheable = round(tokens_in * step.cached)
    is_warm = dice.random() < WARM
    return Counts(
        tokens_in,
        tokens_out,
        read=cacheable if is_warm else 0,
        written=cacheable if not is_warm and step.api == "messages" else 0,
    )
