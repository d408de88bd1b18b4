"""Prices of our own as `pricing` asks for them: which of the rows holds for a model, an organisation and a moment."""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from genai_prices.types import ModelPrice
from genai_prices.units import _get_registry

from usage_billing.models import PriceOverride


@dataclass(frozen=True)
class _Own:
    """One row, ready to be asked."""

    name: str
    pattern: re.Pattern[str]
    org_id: int | None
    valid_from: date
    prices: ModelPrice


class PriceOverrides:
    """All prices of our own at one moment; implements `pricing.Own`.

    An organisation's own goes before that of all; then an exact name before a pattern and a longer pattern before a
    shorter one; then the latest that was valid at the moment of the call.
    """

    def __init__(self, rows: Iterable[PriceOverride]) -> None:
        self._of_provider: dict[str, list[_Own]] = defaultdict(list)
        for row in sorted(rows, key=_rank):
            self._of_provider[row.provider.lower()].append(_own(row))
        self._found: dict[tuple[str, str, int], list[_Own]] = {}

    @classmethod
    def load(cls) -> PriceOverrides:
        """Read them, in one query: once a batch."""
        return cls(PriceOverride.objects.order_by())

    def find(self, provider: str, model: str, org_id: int, at: datetime) -> tuple[ModelPrice, str] | None:
        """The price in the price list's words, and its name: `override:<id>`."""
        if not self._of_provider:
            return None
        key = (provider.lower(), model.lower(), org_id)
        if (candidates := self._found.get(key)) is None:
            candidates = self._found[key] = [
                own
                for own in self._of_provider.get(key[0], ())
                if own.org_id in (None, org_id) and own.pattern.match(key[1])
            ]
        day = at.astimezone(UTC).date()
        return next(((own.prices, own.name) for own in candidates if own.valid_from <= day), None)


def _rank(row: PriceOverride) -> tuple[bool, bool, int, int, int]:
    """The smaller the sooner it is taken."""
    literal = row.model_pattern.replace("*", "")
    return (
        row.org_id is None,
        literal != row.model_pattern,
        -len(literal),
        -row.valid_from.toordinal(),
        -row.pk,
    )


def _own(row: PriceOverride) -> _Own:
    # A key that a newer price list no longer has cannot be applied: what it was for is then not priced.
    known = _get_registry()._all_price_keys
    prices = {key: Decimal(usd) for key, usd in row.prices.items() if key in known}
    return _Own(f"override:{row.pk}", _compiled(row.model_pattern), row.org_id, row.valid_from, ModelPrice(**prices))


def _compiled(pattern: str) -> re.Pattern[str]:
    """`*` stands for anything; the other signs of shell patterns for themselves."""
    literal = re.sub(r"[?\[]", r"[\g<0>]", pattern.lower())
    return re.compile(fnmatch.translate(literal))
