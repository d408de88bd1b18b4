"""Finds the price override that applies to a model, an organisation and a moment."""

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

from usage_billing.costing import model_names
from usage_billing.models import PriceOverride


@dataclass(frozen=True)
class _Override:
    """One row, compiled for matching."""

    name: str
    pattern: re.Pattern[str]
    org_id: int | None
    valid_from: date
    prices: ModelPrice


class PriceOverrides:
    """All price overrides, as they were when `load` read them.

    Precedence: the organisation's override before one for all; an exact name before a pattern, a longer pattern before
    a shorter one; then the latest that was valid at the moment of the call.
    """

    def __init__(self, rows: Iterable[PriceOverride]) -> None:
        self._of_provider: dict[str, list[_Override]] = defaultdict(list)
        for row in sorted(rows, key=_rank):
            self._of_provider[row.provider.lower()].append(_compiled_row(row))

    @classmethod
    def load(cls) -> PriceOverrides:
        """Read all overrides in one query; call it once per batch."""
        return cls(PriceOverride.objects.order_by())

    def __bool__(self) -> bool:
        return bool(self._of_provider)

    def find(self, provider: str, model: str, org_id: int, at: datetime) -> tuple[ModelPrice, str] | None:
        """Return the price with the price list's keys, and its name `override:<id>`; None if no override applies."""
        name, day = model.lower(), at.astimezone(UTC).date()
        for override in self._of_provider.get(provider.lower(), ()):
            is_for_org = override.org_id in (None, org_id)
            if is_for_org and override.valid_from <= day and override.pattern.match(name):
                return override.prices, override.name
        return None


def _rank(row: PriceOverride) -> tuple[bool, bool, int, int, int]:
    """Sort key of precedence: the smallest applies first."""
    literal = row.model_pattern.replace("*", "")
    return (
        row.org_id is None,
        literal != row.model_pattern,
        -len(literal),
        -row.valid_from.toordinal(),
        -row.pk,
    )


def _compiled_row(row: PriceOverride) -> _Override:
    # A newer price list may have dropped a key: its units are unpriced then.
    known = _get_registry()._all_price_keys
    prices = {key: Decimal(usd) for key, usd in row.prices.items() if key in known}
    return _Override(name_of(row), compiled(row.model_pattern), row.org_id, row.valid_from, ModelPrice(**prices))


def name_of(row: PriceOverride) -> str:
    """Return the name that `price_source` gives the override."""
    return f"override:{row.pk}"


def matches(owner: str, pattern: re.Pattern[str], provider: str, model: str) -> bool:
    """Return whether a compiled pattern is for this provider's model; a gateway's name for a model stands for it too.

    owner: the provider that the pattern is for; empty for any.
    """
    candidates = model_names.candidates(provider, model)
    return any(owner.lower() in ("", who.lower()) and pattern.match(name.lower()) for who, name in candidates)


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern for lower-case names: `*` matches anything, every other character itself."""
    literal = re.sub(r"[?\[]", r"[\g<0>]", pattern.lower())
    return re.compile(fnmatch.translate(literal))
