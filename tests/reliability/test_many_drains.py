"""Eight drains, each of an outbox of its own as on eight machines, write the same few organisations at once."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.reliability.world import Figures, Site, times, wait_until

pytestmark = pytest.mark.postgres

DRAINS = 8
EVENTS = times(5_000, 200_000)
DAY = "2026-11-18"


def fill(path: Path, orgs: list[int], first: int, number: int) -> None:
    """`number` events of one machine, and the first of the next one's, as after a restore: a tenth comes twice."""
    from tests.support.factories import chat_usage, event
    from usage_billing.recording.event import encode
    from usage_billing.recording.outbox import Outbox

    outbox = Outbox(path)
    bodies = []
    for count in range(first, first + number + number // 10):
        chance = random.Random(count)
        made = event(
            org=chance.choice(orgs),
            user=chance.randrange(1, 4),
            usage=chat_usage(chance.randrange(1, 100_000), chance.randrange(1, 10_000)),
            request_id=f"chatcmpl-{count:029d}",
            model=chance.choice(["gpt-4.1", "gpt-4.1-mini", "gpt-99"]),
            attribution={"agent_id": chance.choice("ab"), "request_type": chance.choice("xyz")},
        )
        bodies.append(encode(made))
    outbox.append(*bodies)
    outbox.close()


def drain(path: Path) -> None:
    from usage_billing.ledger.drain import DatabaseAwayError, drain_all
    from usage_billing.recording.outbox import Outbox

    outbox = Outbox(path)
    while outbox.backlog().events:
        try:
            drain_all(outbox)
        except DatabaseAwayError as away:
            # The reprice locks records, then totals, as the drain does not: PostgreSQL may choose a victim.
            assert "deadlock" in str(away) or "lock" in str(away)  # noqa: PT017 - anything else is a failure


def in_the_middle(day: str, org: int) -> None:
    """Give one organisation a price for its unpriced model; rebuild and reprice while the drains write."""
    from django.core.management import call_command

    from tests.support.factories import own_price
    from usage_billing.models import Organization
    from usage_billing.tenancy.scope import EVERYTHING, within

    with within(EVERYTHING):
        own_price("gpt-99", org=Organization.objects.get(pk=org))
    call_command("rebuild_daily", "--from", day, "--to", day)
    call_command("reprice_usage", "--from", day, "--to", day, "--reason", "in the middle")


def test_eight_drains_with_a_rebuild_and_a_reprice_in_the_middle(site: Site, record_property: Figures) -> None:
    others = site.sql(
        "INSERT INTO usage_organization (name, slug, timezone, language, created_at)"
        " SELECT slug, slug, 'Europe/Moscow', 'ru', now() FROM unnest(%s::text[]) AS slug RETURNING id",
        [f"{site.folder.name}-{site.org}-{number}" for number in range(2)],
    )
    orgs = [site.org, *(org for (org,) in others)]
    share = EVENTS // DRAINS
    paths = [site.folder / f"machine-{number}" / "outbox" for number in range(DRAINS)]
    filling = [site.fork(fill, path, orgs, index * share, share) for index, path in enumerate(paths)]
    for process in filling:
        process.join()

    drains = [site.fork(drain, path) for path in paths]
    wait_until(lambda: site.sql("SELECT count(*) FROM token_usage WHERE org_id = ANY (%s)", orgs)[0][0] > EVENTS // 10)
    middle = site.fork(in_the_middle, DAY, site.org)
    for process in [*drains, middle]:
        process.join()
        assert process.exitcode == 0

    distinct = share * DRAINS + share // 10
    per_grain = site.sql(
        "SELECT grain, sum(requests_count), sum(cost_usd), sum(total_tokens) FROM token_usage_daily"
        " WHERE org_id = ANY (%s) AND (grain LIKE 'org%%' OR grain = 'cube') GROUP BY grain",
        orgs,
    )
    (rows,) = site.sql(
        "SELECT count(*), sum(cost_usd), sum(total_tokens) FROM token_usage WHERE org_id = ANY (%s)", orgs
    )
    assert rows[0] == distinct
    assert isinstance(rows[1], Decimal)
    assert {tuple(grain[1:]) for grain in per_grain} == {rows}
    assert len(per_grain) == 7
    site.expect_totals_equal()
    record_property("figures", f"{DRAINS} drains, events {share * DRAINS}, rows {rows[0]}, {rows[1]} USD in each grain")
