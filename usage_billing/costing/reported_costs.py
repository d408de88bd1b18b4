"""Reads the amount that a host itself charged for a call, where its answers tell it.

Only hosts that bill exactly this amount are listed: any other gateway may write what it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any


@dataclass(frozen=True)
class Host:
    """Where a host's usage block has its charge, and how many of its units are one USD.

    `own_key`, `own_key_charge`: the flag of a call made with the customer's own key at the provider behind the host,
    and that provider's charge, which comes on top of the host's.
    """

    charge: tuple[str, ...]
    per_usd: int = 1
    own_key: str = ""
    own_key_charge: tuple[str, ...] = ()


HOSTS = {
    # OpenRouter, Usage Accounting: `cost` is “the total amount charged to your account”, in credits; a credit is a
    # dollar (FAQ). With a key of your own (BYOK), the provider behind it charges `upstream_inference_cost` as well.
    "openrouter": Host(("cost",), own_key="is_byok", own_key_charge=("cost_details", "upstream_inference_cost")),
    # xAI, Cost Tracking: “the actual amount billed”; a dollar has 10^10 ticks.
    "x-ai": Host(("cost_in_usd_ticks",), per_usd=10**10),
    # Perplexity, Agent API, ResponsesUsage: `cost.total_cost`, in USD.
    "perplexity": Host(("cost", "total_cost")),
}
"""genai-prices' id of a provider → where its answers tell the amount that it charges."""

FIELDS = frozenset({"cost", "cost_details", "cost_in_usd_ticks", "is_byok"})
"""Fields of a usage block that hold amounts, not usage."""

KEPT_ZEROS = frozenset({"cost", "total_cost", "cost_in_usd_ticks", "upstream_inference_cost"})
"""Fields whose zero says something: the call was free."""


@dataclass(frozen=True)
class Charge:
    """The charge of a host, in USD. `is_whole` is False if somebody else charged a part that is not told."""

    usd: Decimal
    is_whole: bool = True


def charge(provider: str, usage: Mapping[str, Any]) -> Charge | None:
    """Return what the host charged; None if it is not listed, or does not tell."""
    host = HOSTS.get(provider)
    if host is None:
        return None
    own = _amount(usage, host.charge)
    if host.own_key and usage.get(host.own_key) is True:
        other = _amount(usage, host.own_key_charge)
        if own is None and other is None:
            return None
        return Charge((own or Decimal(0)) + (other or Decimal(0)), is_whole=other is not None)
    return None if own is None else Charge(own / host.per_usd)


def _amount(usage: Mapping[str, Any], path: tuple[str, ...]) -> Decimal | None:
    """Return the number at `path`; None unless it is a finite number of at least 0."""
    value: Any = usage
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
