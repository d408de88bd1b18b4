"""Extension point: the page that a message links to. The pages stand above alerts, so they say it themselves."""

from __future__ import annotations

from collections.abc import Callable

from usage_billing.conf import conf
from usage_billing.models import AlertFiring

page_sources: list[Callable[[AlertFiring | None], str]] = []
"""Functions that return the path of the page about an alert, such as `/usage/alerts`; None: the page of all alerts. An
empty text if they know none; the first that knows one wins."""


def address_of(firing: AlertFiring | None) -> str:
    """The full address; empty without `PUBLIC_URL`, and if nobody knows a page."""
    if not conf.PUBLIC_URL:
        return ""
    path = next((path for source in page_sources if (path := source(firing))), "")
    return f"{str(conf.PUBLIC_URL).rstrip('/')}{path}" if path else ""
