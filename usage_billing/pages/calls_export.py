"""Links to the API's export of exactly the calls that a page lists."""

from __future__ import annotations

from datetime import timedelta

from django.urls import reverse
from django.utils.translation import gettext

from usage_billing.pages.controls import Choice
from usage_billing.pages.page import Page
from usage_billing.pages.parameters import query_of

FORMATS = (("csv", "CSV"), ("xlsx", "Excel (XLSX)"), ("jsonl", "JSON Lines"))


def exports(page: Page) -> list[tuple[str, list[Choice]]]:
    """A heading with the formats. The period is written as days: the API's default is another one."""
    parameters = page.parameters
    period = parameters.period
    days = {
        "from": period.since.isoformat() if period.since else None,
        "to": (period.until - timedelta(days=1)).isoformat() if period.until else None,
    }
    export = reverse("usage_billing:api-export")
    formats = [
        Choice(text, f"{export}?{query_of(parameters.filter_pairs, {**days, 'format': name})}", is_current=False)
        for name, text in FORMATS
    ]
    return [(gettext("All calls of this list"), formats)]
