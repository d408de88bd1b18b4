"""Pages, API, repricing and checks work with old records whose counts are near 2⁶³."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from tests.support import factories, rows
from usage_billing.ledger import rollup, summing, writer
from usage_billing.models import DailyUsage, UsageRecord
from usage_billing.models.daily_usage import DIMENSIONS
from usage_billing.tenancy import roles

pytestmark = pytest.mark.django_db

HUGE = 2**62
PAGES = ("/superadmin/ai-costs?days=7", "/usage/?days=7")
API = ("summary", "history", "by-agent", "by-model", "by-request-type", "by-user", "by-org", "detailed", "export")


def stored(row: dict[str, Any]) -> None:
    """Store the row in the ledger and the rollups, past the limits of `recording.gate`."""
    with roles.applied(roles.AS_LEDGER):
        UsageRecord.objects.create(**row)
        totals = [dict(zip(rollup.DAILY.columns, values, strict=True)) for values in summing.roll_up([row])]
        for total in totals:
            key = {name: total[name] for name in ("grain", "usage_date", *DIMENSIONS)}
            before = DailyUsage.objects.filter(**key).values(*total).first() or {}
            sums = {
                name: min(value + before.get(name, 0), 2**63 - 1) if isinstance(value, int) else value
                for name, value in total.items()
                if name not in key
            }
            DailyUsage.objects.filter(**key).delete()
            DailyUsage.objects.create(**key, **sums)


@pytest.fixture
def huge() -> Any:
    org = factories.organization()
    now = datetime.now(UTC)
    usage = {"prompt_tokens": HUGE - 100, "completion_tokens": 100, "total_tokens": HUGE}
    for number in range(3):
        stored(
            rows.row(
                org,
                created_at=now - timedelta(days=number),
                prompt_tokens=HUGE - 100,
                completion_tokens=100,
                total_tokens=HUGE,
                usage=usage,
                agent_id=f"agent-{number}",
                cost_usd=None,
                cost_rub=None,
                price_source="unpriced:unknown-model",
                ai_model="gpt-4.1-mini",
            )
        )
    return org


def test_pages_and_api_show_huge_counts(huge: Any, client: Client) -> None:
    for person in (factories.superadmin(), factories.owner(huge)):
        client.force_login(person)
        for page in PAGES:
            assert client.get(page).status_code in (200, 302, 403), page
        for name in API:
            response = client.get(f"/api/billing/usage/tokens/{name}?days=7")
            assert response.status_code in (200, 403), (name, response.content)


def test_repricing_marks_huge_counts_unreadable_and_corrects_the_totals(huge: Any) -> None:
    call_command("check_usage")
    first, last = (datetime.now(UTC) - timedelta(days=4)).date(), datetime.now(UTC).date() + timedelta(days=1)
    call_command("reprice_usage", "--from", str(first), "--to", str(last), "--reason", "counts beyond bounds")
    for record in UsageRecord.objects.all():
        assert (record.total_tokens, record.cost_usd) == (0, None)
        assert record.price_source == "unpriced:unreadable-usage"
    call_command("rebuild_daily", "--from", str(first), "--to", str(last))
    call_command("check_usage")
    writer.add([factories.event(org=huge, at=datetime.now(UTC))])
    call_command("check_usage")
    assert sum(each.cost_usd for each in DailyUsage.objects.filter(grain="total")) == Decimal("0.00056")
