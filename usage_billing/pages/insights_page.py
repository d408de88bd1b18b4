"""Insights: what a person should look at."""

from __future__ import annotations

from typing import Any

from usage_billing.pages.page import Page
from usage_billing.pages.parameters import PageSerializer


class InsightsSerializer(PageSerializer):
    pass


def context(page: Page) -> dict[str, Any]:
    return {}
