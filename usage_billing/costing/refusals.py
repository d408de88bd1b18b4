"""Says which refusals Anthropic bills, by the day of the call.

Claude Platform release notes: from 2 June 2026 a refusal before any output is not billed; from 24 September 2026 it is
billed again in three categories (“Refusals and fallback”, How refusals are billed). The rules hold on every platform. A
refusal in the middle of the output is always billed; it is none of the `declined` turns here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

FREE_FROM = datetime(2026, 6, 2, tzinfo=UTC)
"""Release notes, 2 June 2026: no charge for a refusal without output."""

CATEGORIES_FROM = datetime(2026, 9, 24, tzinfo=UTC)
BILLED_CATEGORIES = frozenset({"bio", "frontier_llm", "reasoning_extraction"})
"""The column “Billed before any output” of the table of categories. It holds from `CATEGORIES_FROM` on."""

UNKNOWN = "unknown"
"""The category of a declined turn that the answer does not tell."""

WHOLE = "all"
"""The turn of an answer without `usage.iterations`."""


class UnknownRefusalError(Exception):
    """Raised if it is not known whether a declined turn is billed."""


def free_turns(response_metadata: Mapping[str, Any], at: datetime) -> frozenset[str]:
    """Return the declined turns that are not billed: indexes of `usage.iterations`, or `WHOLE`.

    `declined` in the metadata: turn → category. Raises `UnknownRefusalError`.
    """
    declined = response_metadata.get("declined")
    if not isinstance(declined, dict) or at < FREE_FROM:
        return frozenset()
    if declined.get(WHOLE) == UNKNOWN or (at >= CATEGORIES_FROM and UNKNOWN in declined.values()):
        raise UnknownRefusalError
    return frozenset(
        turn for turn, category in declined.items() if at < CATEGORIES_FROM or category not in BILLED_CATEGORIES
    )
