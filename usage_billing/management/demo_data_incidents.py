"""Incidents of the demo: a retry loop whose prompt grew, an overloaded provider, a rate limit that was reached.

Their days lie in the last full week, or shortly before it, so that the usual periods show them.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import msgspec

from usage_billing.management.demo_data import Account
from usage_billing.management.demo_data_usage import URLS, Counts, block
from usage_billing.recording import Attribution, Event

RETRYING = "severny-veter"
"""The organisation whose job asks the same question again and again, and of the rate limit."""
RETRIES = 40
OVERLOADED = {"severny-veter": 26, "romashka-media": 9, "atlas-studio": 5, "gorod-n": 3}
"""Organisation → its calls that Anthropic turned away within twenty minutes."""
LIMITED = 14


def monday_of_last_full_week(now: datetime) -> date:
    today = now.date()
    return today - timedelta(days=today.weekday() + 7)


def calls_of(account: Account, day: date, now: datetime) -> Iterator[Event]:
    """The calls of this organisation's incidents on this day."""
    slug = account.organization.slug
    of_org, monday = (monday_of_last_full_week(now.astimezone(zone)) for zone in (account.org.zone, UTC))
    dice = random.Random(f"incident {slug} {day}")  # noqa: S311 - dice of a demonstration
    if day == of_org + timedelta(days=2) and slug == RETRYING:
        yield from _retries(account, day, dice)
    if day == monday + timedelta(days=3):
        yield from _overload(account, day, dice)
    if day == monday - timedelta(days=4) and slug == RETRYING:
        yield from _rate_limit(account, day, dice)


def _retries(account: Account, day: date, dice: random.Random) -> Iterator[Event]:
    """A night job that adds each rejected answer to its prompt and asks again."""
    workflow_id = str(uuid.UUID(int=dice.getrandbits(128), version=4))
    attribution = Attribution(
        org_id=account.org.pk,
        agent_id="trends_scout",
        request_type="trend_report",
        task_type="analyse",
        workflow_id=workflow_id,
        platform="telegram",
        tags={"feature": "trends", "team": "editorial", "env": "prod"},
    )
    at = datetime.combine(day, time(3, 12), account.org.zone)
    for number in range(1, RETRIES + 1):
        counts = Counts(38_000 + 4_000 * number + dice.randrange(900), 2_300 + dice.randrange(500))
        yield Event(
            request_id=f"demo-retry-{account.organization.slug}-{day}-{number:03d}",
            started_at=at.timestamp(),
            duration_ms=24_000 + dice.randrange(30_000),
            flavour="responses",
            url=URLS["responses"],
            status="succeeded",
            model="gpt-6.1-sol",
            usage=msgspec.Raw(msgspec.json.encode(block("responses", counts))),
            attribution=attribution,
        )
        at += timedelta(seconds=dice.uniform(60, 110))


def _overload(account: Account, day: date, dice: random.Random) -> Iterator[Event]:
    at = datetime.combine(day, time(9, 4), tzinfo=UTC)  # the same minutes for all
    for number in range(OVERLOADED.get(account.organization.slug, 0)):
        agent_id, request_type, model = dice.choice(
            [
                ("legal_guard", "legal_check", "claude-sonnet-5-5"),
                ("research_factcheck", "fact_check", "claude-opus-5-5"),
                ("repurpose", "repurpose", "claude-haiku-5-5"),
            ]
        )
        yield _failed(
            f"demo-overload-{account.organization.slug}-{day}-{number:03d}",
            at + timedelta(minutes=dice.uniform(0, 20)),
            model,
            Attribution(
                org_id=account.org.pk,
                user_id=dice.choice(account.user_ids),
                agent_id=agent_id,
                request_type=request_type,
                tags={"feature": "review", "team": "editorial", "env": "prod"},
            ),
        )


def _rate_limit(account: Account, day: date, dice: random.Random) -> Iterator[Event]:
    at = datetime.combine(day, time(16, 40), account.org.zone)
    for number in range(LIMITED):
        yield _failed(
            f"demo-limit-{account.organization.slug}-{day}-{number:03d}",
            at + timedelta(minutes=dice.uniform(0, 5)),
            "gpt-6-luna",
            Attribution(
                org_id=account.org.pk,
                request_type="site_search",
                platform="web",
                tags={"feature": "search", "team": "product", "env": "prod"},
            ),
        )


def _failed(request_id: str, at: datetime, model: str, attribution: Attribution) -> Event:
    is_anthropic = model.startswith("claude")
    return Event(
        request_id=request_id,
        started_at=at.timestamp(),
        duration_ms=700 + at.microsecond % 900,
        flavour="messages" if is_anthropic else "responses",
        url=URLS["messages" if is_anthropic else "responses"],
        status="failed",
        error_code="529 overloaded_error" if is_anthropic else "429 rate_limit_exceeded",
        model=model,
        attribution=attribution,
    )
