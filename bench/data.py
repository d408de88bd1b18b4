"""`python -m bench.data <calls>`: fill an empty, migrated PostgreSQL with plausible calls of 200 organisations.

The calls lie in the last 90 days. The 90 days before have rollups only, like archived months, so that a comparison with
the previous period costs as much as in real use. The server generates all rows from a fixed seed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date, timedelta

import django
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.utils import timezone

DAYS = 90
ORGANIZATIONS = 200
TICKETS = 10_000
"""Each call draws a ticket; the first organisation holds 1,700 of them, the last 8 (Zipf's law)."""
SUPERADMIN, OWNER, MEMBER = "admin", "user-1-0", "user-1-1"
"""Users of the benchmark; owner and member belong to the largest organisation."""
PASSWORD = "of the benchmark"  # noqa: S105 - of a database that is gone when the benchmark ends


@dataclass(frozen=True)
class Habit:
    """A kind of call, with average input and output tokens, and USD per million of each."""

    weight: int
    agent_id: str
    request_type: str
    provider: str
    endpoint: str
    id_prefix: str
    id_length: int
    model: str
    tokens_in: int
    tokens_out: int
    usd_in: float
    usd_out: float


_CHAT = ("openai", "/v1/chat/completions", "chatcmpl-", 29)
_RESPONSES = ("openai", "/v1/responses", "resp_", 50)
_MESSAGES = ("anthropic", "/v1/messages", "msg_01", 22)

HABITS = (
    Habit(24, "community_concierge", "comment_reply", *_CHAT, "gpt-4.1-mini-2025-04-14", 1400, 180, 0.4, 1.6),
    Habit(6, "community_concierge", "comment_reply", *_CHAT, "gpt-4.1-2025-04-14", 1500, 200, 2, 8),
    Habit(8, "legal_guard", "legal_check", *_MESSAGES, "claude-sonnet-5-5", 3800, 700, 3, 15),
    Habit(5, "legal_guard", "fact_check", *_MESSAGES, "claude-haiku-5-5", 3100, 500, 1, 5),
    Habit(5, "trends_scout", "trend_report", *_RESPONSES, "gpt-6.1-sol", 9000, 1500, 1.25, 10),
    Habit(6, "research_factcheck", "fact_check", *_MESSAGES, "claude-opus-5-5", 5200, 1200, 5, 25),
    Habit(10, "repurpose", "repurpose", *_MESSAGES, "claude-haiku-5-5", 2100, 600, 1, 5),
    Habit(4, "repurpose", "repurpose", *_RESPONSES, "gpt-6-luna", 2100, 600, 0.25, 2),
    Habit(22, "", "participant_enrichment", *_RESPONSES, "gpt-6-luna", 2600, 420, 0.25, 2),
    Habit(2, "", "weekly_digest", *_MESSAGES, "claude-sonnet-5-5", 6000, 900, 3, 15),
    Habit(7, "", "custom_analysis", *_CHAT, "gpt-6.1-sol", 4200, 800, 1.25, 10),
    Habit(1, "research_factcheck", "fact_check", *_RESPONSES, "gpt-7-preview", 3000, 900, 0, 0),  # has no price
)


def fill(calls: int) -> None:
    """Create organisations, people, calls and rollups, and analyse the tables."""
    _people()
    if connection.vendor != "postgresql":
        return  # SQLite is only measured with new calls
    with connection.cursor() as cursor:
        indexes = _drop_indexes(cursor)
        cursor.execute("SELECT setseed(0.42)")
        cursor.execute(_CALLS, {"calls": calls, "tickets": TICKETS, "days": DAYS, "today": _today()})
        for definition in indexes:
            cursor.execute(definition)
        _totals(cursor)
        cursor.execute("VACUUM ANALYZE")


def _today() -> date:
    return timezone.localdate()


def _people() -> None:
    """Create a superadmin, and owner and members of each organisation: 103 people in the largest, 3 in the smallest."""
    from usage_billing.models import Membership, Organization

    users = get_user_model()._default_manager
    password = make_password(PASSWORD)
    users.create(username=SUPERADMIN, password=password, is_superuser=True, is_staff=True)
    orgs = Organization.objects.bulk_create(
        Organization(name=f"Organisation {n}", slug=f"organisation-{n}", timezone="Europe/Moscow")
        for n in range(1, ORGANIZATIONS + 1)
    )
    tickets: list[tuple[int, int, int, int]] = []
    whole = sum(1 / n for n in range(1, ORGANIZATIONS + 1))
    for n, org in enumerate(orgs, start=1):
        people = users.bulk_create(
            users.model(username=f"user-{n}-{number}", password=password) for number in range(3 + 100 // n)
        )
        Membership.objects.bulk_create(
            Membership(org=org, user=user, role="member" if number else "owner") for number, user in enumerate(people)
        )
        share = round(TICKETS / whole / n)
        tickets += [(org.pk, people[0].pk, len(people), share)] * share
    habits = [habit for habit in HABITS for _ in range(habit.weight)]
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE ticket (n int PRIMARY KEY, org_id bigint, first_user bigint, users int, tickets int)"
        )
        cursor.executemany(
            "INSERT INTO ticket VALUES (%s, %s, %s, %s, %s)",
            [(n, *tickets[n % len(tickets)]) for n in range(TICKETS)],
        )
        cursor.execute(
            "CREATE TEMP TABLE habit (n int PRIMARY KEY, agent_id text, request_type text, provider text,"
            " endpoint text, id_prefix text, id_length int, model text, tokens_in int, tokens_out int,"
            " usd_in numeric, usd_out numeric)"
        )
        cursor.executemany(
            f"INSERT INTO habit VALUES ({', '.join(['%s'] * 12)})",  # noqa: S608 - no value in it
            [(n, *list(vars(habits[n % len(habits)]).values())[1:]) for n in range(100)],
        )


_CALLS = """
WITH dice AS MATERIALIZED (
    SELECT n, (%(today)s::timestamp AT TIME ZONE 'Europe/Moscow') + interval '1 day'
            - %(days)s * interval '1 day' * ((%(calls)s - n + 0.5) / %(calls)s) AS at,
        floor(random() * %(tickets)s)::int AS ticket, floor(random() * 100)::int AS habit,
        random() AS who, random() AS tokens, random() AS luck, random() AS work
    FROM generate_series(1, %(calls)s) n
), drawn AS (
    SELECT dice.*, org_id, first_user, users, tickets, agent_id, request_type, provider, endpoint, id_prefix,
        id_length, model, usd_in, usd_out, luck < 0.01 AS failed,
        (80 + 5 * sin(extract(doy FROM at)))::numeric(18, 4) AS rate,
        -- Most calls are short, some are very long.
        CASE WHEN luck < 0.01 THEN 0 ELSE (tokens_in * (0.3 - ln(1 - tokens * 0.999)))::int END AS prompt,
        CASE WHEN luck < 0.01 THEN 0 ELSE (tokens_out * (0.3 - ln(tokens * 0.999 + 0.001)))::int END AS completion
    FROM dice JOIN ticket ON ticket.n = dice.ticket JOIN habit ON habit.n = dice.habit
), priced AS (
    SELECT *, CASE WHEN tokens > 0.5 THEN prompt / 2 ELSE 0 END AS cached,
        CASE WHEN failed THEN 0 WHEN usd_in = 0 THEN NULL ELSE
            ((prompt - CASE WHEN tokens > 0.5 THEN prompt / 2 ELSE 0 END * 0.9) * usd_in + completion * usd_out) / 1e6
        END::numeric(24, 12) AS usd
    FROM drawn
)
INSERT INTO token_usage (
    org_id, user_id, content_id, workflow_id, agent_id, request_type, request_id, endpoint, ai_provider, ai_model,
    prompt_tokens, completion_tokens, total_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, usage,
    cost_usd, cost_rub, usd_rub_rate, price_source, platform, content_type, task_type, execution_time_ms, status,
    error_code, request_metadata, response_metadata, created_at, recorded_at, usage_date, provider_organization,
    provider_project, api_key_fingerprint
)
SELECT org_id,
    CASE WHEN agent_id <> '' THEN first_user + floor(who * who * users)::bigint END,
    -- Three calls for a post, a dozen for a run.
    CASE WHEN work < 0.4 THEN 'post-' || org_id || '-' || n / (3 * 25 * %(tickets)s / 10 / tickets) END,
    CASE WHEN work > 0.9 THEN md5(org_id || ' ' || n / (12 * 10 * %(tickets)s / tickets))::uuid::text END,
    agent_id, request_type, id_prefix || left(md5(n::text) || md5('and ' || n), id_length), endpoint, provider, model,
    prompt, completion, prompt + completion, cached, 0, CASE WHEN provider = 'openai' THEN completion / 4 ELSE 0 END,
    -- As `models.usage_block` stores it: the columns say the rest.
    CASE
        WHEN failed THEN '{}'
        WHEN endpoint = '/v1/chat/completions' THEN '{"columns": "chat"}'
        WHEN provider = 'openai' THEN '{"columns": "responses"}'
        ELSE '{"columns": "messages", "service_tier": "standard"}'
    END::jsonb,
    usd, round(usd * rate, 12), rate,
    CASE WHEN failed THEN 'not-charged' WHEN usd IS NULL THEN 'unpriced:unknown-model' ELSE 'genai-prices 0.2.3' END,
    CASE WHEN work < 0.4 THEN 'telegram' ELSE '' END, CASE WHEN work < 0.4 THEN 'post' ELSE '' END, '',
    (400 + completion * 12)::bigint,
    CASE WHEN failed THEN 'failed' WHEN luck > 0.995 THEN 'aborted' ELSE 'succeeded' END,
    CASE WHEN failed THEN '429 rate_limit_exceeded' ELSE '' END,
    CASE WHEN request_type = 'participant_enrichment'
        THEN jsonb_build_object('participant_id', ((who * 100000)::int)::text) ELSE '{}' END,
    CASE WHEN provider = 'openai' AND NOT failed
        THEN jsonb_build_object('context', jsonb_build_object('service_tier', 'default')) ELSE '{}' END,
    at, at + interval '2 seconds', (at AT TIME ZONE 'Europe/Moscow')::date,
    'org-' || left(md5(provider || org_id), 24), 'proj_' || left(md5(request_type || org_id), 24),
    left(md5(provider || agent_id || org_id), 16)
FROM priced ORDER BY n
"""


def _drop_indexes(cursor: object) -> list[str]:
    """Drop the non-unique indexes of `token_usage`, to fill it ten times faster. Returns their definitions."""
    run = cursor.execute  # type: ignore[attr-defined]
    run(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid = 'token_usage'::regclass AND NOT indisunique"
    )
    found = cursor.fetchall()  # type: ignore[attr-defined]
    for name, _ in found:
        run(f"DROP INDEX {name}")
    return [definition for _, definition in found]


def _totals(cursor: object) -> None:
    from usage_billing.ledger import rollup

    run = cursor.execute  # type: ignore[attr-defined]
    daily = rollup.DAILY
    columns = ", ".join(daily.columns)
    cube = rollup.select_sql(daily, "cube", "true")
    run(f"INSERT INTO token_usage_daily ({columns}) {cube} ORDER BY usage_date")
    calls = f"WITH calls AS (SELECT {columns} FROM token_usage_daily WHERE grain = 'cube')"  # noqa: S608 - our own names
    for grain in daily.grains:
        if grain != "cube":
            coarser = rollup.coarser_sql(daily, grain)
            run(f"{calls} INSERT INTO token_usage_daily ({columns}) {coarser} ORDER BY usage_date")
    shifted = ", ".join(f"usage_date - {DAYS}" if name == "usage_date" else name for name in daily.columns)
    run(
        f"INSERT INTO token_usage_daily ({columns}) SELECT {shifted} FROM token_usage_daily"  # noqa: S608 - our own names
        " WHERE usage_date > %s",
        [_today() - timedelta(days=DAYS)],
    )


if __name__ == "__main__":
    django.setup()
    fill(int(sys.argv[1]))
