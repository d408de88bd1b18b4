"""The keys of tags that pages offer; any other key can be typed or stand in the address."""

from __future__ import annotations

from usage_billing import reports
from usage_billing.pages.page import Page

MOST_KEYS = 20


def tag_keys(page: Page) -> list[str]:
    """The most used keys of the organisations that the page shows; other filters do not change them. One query."""
    chosen = {name: value for name, value in page.parameters.filters.items() if name == "org_id"}
    return reports.tag_keys_by_use(page.scope, chosen, MOST_KEYS)
