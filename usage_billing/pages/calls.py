"""Calls: the list of single calls."""

from __future__ import annotations

from typing import Any

from usage_billing.pages.page import Page
from usage_billing.pages.parameters import PageSerializer


class CallsSerializer(PageSerializer):
    pass


def context(page: Page) -> dict[str, Any]:
    return {}
