"""Fetches genai-prices' newest published price list."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx2

from usage_billing.costing.price_list import PriceListError

SILENCE_S = 10.0
"""Longest silence of the server while connecting and answering."""
ANSWER_S = 60.0
"""Longest time for the whole answer: a byte a second must not hold the command."""
LARGEST_ANSWER = 50_000_000
"""Bytes, decompressed; the list of November 2026 has about a megabyte."""


class Published(NamedTuple):
    """A published list: its JSON, and the day when it was published, or fetched where the server does not say."""

    content: bytes
    day: date


def fetch(url: str, now: datetime) -> Published:
    """Fetch the list. Redirects are not followed. Raises `PriceListError`."""
    deadline = time.monotonic() + ANSWER_S
    body = bytearray()
    try:
        with httpx2.stream("GET", url, timeout=SILENCE_S) as response:
            if response.status_code != httpx2.codes.OK:
                raise PriceListError(f"The server answered with status {response.status_code}.")
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise PriceListError(f"The answer has more than {LARGEST_ANSWER:,} bytes.")
                if time.monotonic() > deadline:
                    raise PriceListError(f"The server did not finish its answer within {ANSWER_S:g} seconds.")
            day = _day(response.headers.get("last-modified", ""), now)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise PriceListError(f"The server did not answer: {str(error) or type(error).__name__}.") from error
    return Published(bytes(body), day)


def _day(last_modified: str, now: datetime) -> date:
    today = now.astimezone(UTC).date()
    try:
        return min(parsedate_to_datetime(last_modified).astimezone(UTC).date(), today)
    except (ValueError, OverflowError):
        return today
