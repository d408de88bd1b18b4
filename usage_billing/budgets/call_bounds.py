"""The most that a call may cost, worked out before it is sent.

Input: no token is shorter than a byte of the body. Output: `max_tokens`, else the most that models give. Both at the
highest rate that can apply: of the long context that the input may reach, of a cache write, of the tier asked for.
What the body does not tell (files, earlier turns, results of tools, the length of the answer) is bounded by the model's
context window, and by what the agent's calls of this model have cost: twice the highest cost of 28 days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal
from typing import Any

from genai_prices import Usage
from genai_prices.types import TieredPrices

from usage_billing import reports
from usage_billing.budgets.scopes import is_version_of
from usage_billing.costing import model_names, pricing
from usage_billing.costing.metering import Line, Metered
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.exchange_rates.rates import rates_on
from usage_billing.models import Budget
from usage_billing.models.fields import MONEY_PLACES
from usage_billing.recording.admission import Planned
from usage_billing.reports import Period
from usage_billing.tenancy.scope import EVERYTHING, within

MOST_OUTPUT = 128_000
"""Tokens. OpenAI and Anthropic, Models: the longest answer of any of their models."""
MOST_INPUT = 1_050_000
"""Tokens. OpenAI, Models: the largest context window; for a model whose own is not known."""

LEARNED_DAYS = 28
LEAST_CALLS = 20
"""From so many calls on, an agent's history counts."""
TIMES_HIGHEST = 2

SURCHARGE = Decimal("1.1")
"""The region of an endpoint may add a tenth (`costing.pricing`: US_INFERENCE, REGIONAL, LOCATED)."""
UNKNOWN = Decimal("0.000001")
"""What a call reserves whose cost nothing bounds: something must be left. Its cost counts once it is recorded."""

PLACES = Decimal(1).scaleb(-MONEY_PLACES)

ONE = Decimal(1)
TALKS = ("chat", "responses", "messages")
"""APIs whose whole input is within one context window; one of embeddings may have many inputs."""

STARTS = (0, 200_000, 272_000)
"""Tokens of input above which published prices change, besides those that the price list itself has."""
OUTPUT_SAMPLE = 1_000


@dataclass(frozen=True)
class Segment:
    """Rates, USD a token, for a prompt of more than `start` tokens; never lower than those of a shorter one."""

    start: int
    input: Decimal
    output: Decimal


@dataclass(frozen=True)
class CallBounds:
    """What is known of a model, and of an agent's calls of it. segments: by their start; none if no price is known.

    window: tokens. highest_usd: of the agent's earlier calls; None without enough of them. rub: RUB per USD.
    """

    segments: Sequence[Segment]
    window: int
    highest_usd: Decimal | None
    rub: Decimal | None

    def most(self, call: Planned, unit: str) -> Decimal:
        """The most that the call may take of a budget in this unit."""
        if unit == Budget.Unit.CALLS:
            return ONE
        if not call.makes_answer:
            return UNKNOWN if unit != Budget.Unit.TOKENS else ONE
        is_talk = call.flavour in TALKS
        told = min(call.text_bytes, self.window) if is_talk else call.text_bytes
        most_input = self.window if call.is_open and is_talk else told
        most_output = min(call.most_output or MOST_OUTPUT, self.window) * call.answers
        if unit == Budget.Unit.TOKENS:
            return Decimal(most_input + most_output)
        amount = self._usd(told, most_input, most_output)
        if unit == Budget.Unit.RUB:
            amount = UNKNOWN if self.rub is None else amount * self.rub
        return amount.quantize(PLACES, ROUND_UP)

    def tells(self, unit: str) -> bool:
        """Whether `most` bounds the call in this unit; without prices it tells nothing about money."""
        return self is not NOT_KNOWN or unit in (Budget.Unit.CALLS, Budget.Unit.TOKENS)

    def _usd(self, told: int, most_input: int, most_output: int) -> Decimal:
        if not self.segments:
            return UNKNOWN
        highest = self._segment(most_input)
        by_text = told * (highest if told == most_input else self._segment(told)).input
        untold = (most_input - told) * highest.input + most_output * highest.output
        if self.highest_usd is not None:
            untold = min(untold, TIMES_HIGHEST * self.highest_usd)
        return (by_text + untold) * SURCHARGE or UNKNOWN

    def _segment(self, tokens: int) -> Segment:
        found = self.segments[0]
        for segment in self.segments:
            if segment.start > tokens:
                break
            found = segment
        return found


NOT_KNOWN = CallBounds((), MOST_INPUT, None, None)
"""While the database is away."""


def load(org_id: int, agent_id: str, provider: str, call: Planned, at: datetime) -> CallBounds:
    """Read prices, rate and history for calls like this one. Four queries, in the scope of everything."""
    with within(EVERYTHING):
        overrides = PriceOverrides.load()
        rub = rates_on([at.date()])[at.date()]
        period = Period(at.date() - timedelta(days=LEARNED_DAYS), None)
        history = reports.highest_costs(org_id, agent_id, period)
    return CallBounds(
        segments=_segments(org_id, provider, call, at, overrides),
        window=_window(provider, call.model),
        highest_usd=_highest(history, provider, call.model),
        rub=rub,
    )


def _highest(history: Mapping[tuple[str, str], reports.HighestCost], provider: str, model: str) -> Decimal | None:
    alike = [cost for (at, name), cost in history.items() if at == provider and is_version_of(name, model)]
    return max(cost.usd for cost in alike) if sum(cost.calls for cost in alike) >= LEAST_CALLS else None


def _window(provider: str, model: str) -> int:
    found = model_names.find(provider, model)
    return (found[1].context_window if found else None) or MOST_INPUT


def _segments(
    org_id: int, provider: str, call: Planned, at: datetime, overrides: PriceOverrides
) -> tuple[Segment, ...]:
    def usd(count: int, output: int) -> Decimal | None:
        prices = [
            pricing.price(provider, call.model, Metered((Line(usage),)), context, org_id=org_id, at=at,
                          overrides=overrides, aliases=[call.deployment] if call.deployment else [])
            for usage in _usages(call, count, output)
            for context in _contexts(call)
        ]  # fmt: skip
        return max((price.usd for price in prices if price.usd is not None), default=None)

    found: list[Segment] = []
    per_input = per_output = Decimal(0)
    for start in sorted({*STARTS, *_starts(provider, call.model, at)}):
        count = start + OUTPUT_SAMPLE
        of_input, of_both = usd(count, 0), usd(count, OUTPUT_SAMPLE)
        if of_both is None:
            continue
        of_input = of_input or Decimal(0)
        per_input = max(per_input, of_input / count)
        per_output = max(per_output, (of_both - of_input) / OUTPUT_SAMPLE)
        found.append(Segment(start, per_input, per_output))
    return tuple(found)


def _usages(call: Planned, count: int, output: int) -> Iterator[Usage]:
    """Usages of so many tokens that may have different prices; those without a price say nothing."""
    counts: dict[str, Any] = {"input_tokens": count} | ({"output_tokens": output} if output else {})
    yield Usage(**counts)
    if output:
        yield Usage(**counts, output_audio_tokens=output)
        yield Usage(**counts, output_image_tokens=output)
    if call.writes_cache:
        yield Usage(**counts, cache_write_tokens=count)
        yield Usage(**counts, cache_write_tokens=count, cache_write_1h_tokens=count)


def _contexts(call: Planned) -> Iterator[dict[str, str]]:
    yield {}
    if call.tier:
        yield {"service_tier": call.tier}
        yield {"speed": call.tier}


def _starts(provider: str, model: str, at: datetime) -> Iterator[int]:
    if (found := model_names.find(provider, model)) is not None:
        for price in vars(found[1].get_prices(at, None)).values():
            if isinstance(price, TieredPrices):
                yield from (tier.start for tier in price.tiers)
