"""Insights: why calls failed or are unpriced and what to do about it, the cache, and the model comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext

from usage_billing.reports import FailureGroup, model_comparison

NAMED = 4
"""Models that a reason names."""
SUGGESTED = 4
"""How many of the most expensive models used here are compared."""


# ── Reasons, and what to do about them ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class FailureReason:
    """Calls with one reason, and advice. `models`: (provider, model) of up to `NAMED`; `more`: how many others.

    narrowing: the URL parameters that narrow the calls to these.
    """

    count: int
    models: list[tuple[str, str]]
    more: int
    reason: str
    error_code: str
    advice: str
    is_unpriced: bool
    narrowing: dict[str, list[str]]


def failure_reasons(failures: Sequence[FailureGroup], *, for_superadmin: bool) -> list[FailureReason]:
    """The failures by reason, the most frequent first."""
    alike: dict[tuple[str, str, str], list[FailureGroup]] = {}
    for failure in failures:
        reason, advice = _words(failure, for_superadmin=for_superadmin)
        alike.setdefault((reason, failure.error_code, advice), []).append(failure)
    found = [
        FailureReason(
            sum(each.count for each in group),
            models[:NAMED],
            max(0, len(models) - NAMED),
            reason,
            code,
            advice,
            is_unpriced=bool(group[0].reason),
            narrowing={
                "status": sorted({each.status for each in group}),
                "error_code": [code],
                "price_source": sorted({each.price_source for each in group}),
            },
        )
        for (reason, code, advice), group in alike.items()
        for models in [_models(group)]
    ]
    return sorted(found, key=lambda each: -each.count)


def _models(failures: Sequence[FailureGroup]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((each.ai_provider, each.ai_model) for each in failures))


def _words(failure: FailureGroup, *, for_superadmin: bool) -> tuple[str, str]:
    """The reason and the advice."""
    if not failure.reason:
        return gettext("The call failed; the provider charges nothing for it."), _advice_on_error(failure.error_code)
    ask = gettext("Ask a superadmin to add a price override.")
    kind, _, detail = failure.reason.partition(":")
    match kind:
        case "unknown-model" | "no-model":
            advice = gettext("Run update_prices, or add a price override and run reprice_usage.")
            return gettext("No price is known for this model."), advice if for_superadmin else ask
        case "no-price-for" | "unknown-context":
            reason = gettext("The price list has no price for %(what)s.") % {"what": detail.replace(",", ", ")}
            advice = gettext("Add a price override that names it, then run reprice_usage.")
            return reason, advice if for_superadmin else ask
        case "unknown-usage-field":
            reason = gettext("The answer counts something whose price is not known: %(what)s.") % {"what": detail}
            return reason, gettext("Open one of the calls: its usage is kept as the provider reported it.")
        case "cut-short":
            return (
                gettext("The call was given up before its answer was complete; the provider may charge for it."),
                gettext("Read streams to their end, where the usage comes, and allow a longer time for the answer."),
            )
        case "pending":
            return (
                gettext("The answer has not been fetched yet."),
                gettext("Fetch it: its tokens and its cost come with it."),
            )
        case "unknown-endpoint":
            return (
                gettext("This endpoint is not known, and its answer has no usage."),
                gettext("Look up in the provider's documentation how it is billed."),
            )
        case "used-elsewhere":
            return (
                gettext("A browser or a telephone uses this session, and its usage is reported there."),
                gettext("Connect to the session from the server to record its responses."),
            )
        case "results-not-read":
            return (
                gettext("The batch has ended, and nobody has read its results, which report the usage."),
                gettext("Read the results, even if nobody needs them: their usage comes with them."),
            )
        case _:
            return (
                gettext("The provider's answer has no usage, or contradicts itself (%(reason)s).")
                % {"reason": failure.reason},
                gettext("Open one of the calls: its usage is kept as the provider reported it."),
            )


def _advice_on_error(code: str) -> str:
    """By the HTTP status that an error code begins with, or the error's name."""
    status = code[:3]
    if status == "429" or "rate_limit" in code or "quota" in code:
        return gettext("The provider's limit was reached: spread the calls, or ask the provider for more.")
    if status in ("401", "403") or "auth" in code or "permission" in code:
        return gettext("The key was refused: check it, and what it may do.")
    if status.startswith("5") or "overloaded" in code:
        return gettext("The provider failed. The clients retry by themselves; if it goes on, use another model.")
    if "imeout" in code or "onnection" in code:
        return gettext("The provider was not reached in time: check the network and the client's timeout.")
    if status.startswith("4"):
        return gettext("The provider refused the request: the error names what is wrong with it.")
    return gettext("Open one of the calls to see its details.")


# ── The cache ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class CacheUse:
    """`share` of input tokens that came from the cache; USD saved by it, and the most USD that could still be saved.

    `models`: (name, share, USD missed) of the models that missed the most.
    """

    share: Decimal | None
    saved_usd: Decimal
    missed_usd: Decimal
    models: list[tuple[str, Decimal, Decimal]]


def cache_use(models: Sequence[dict[str, Any]], today: date, most: int = 3) -> CacheUse:
    """Cache use of the totals by provider and model; models without a list price for text are left out."""
    saved = missed = Decimal(0)
    prompt = cached = 0
    found = []
    for row in models:
        prices = model_comparison.token_prices(row["ai_provider"], row["ai_model"], today)
        if prices is None or not row["prompt_tokens"]:
            continue
        prompt, cached = prompt + row["prompt_tokens"], cached + row["cached_tokens"]
        saved += prices.saved_by_cache(row)
        missed += prices.missed_by_cache(row)
        share = Decimal(row["cached_tokens"]) / row["prompt_tokens"]
        found.append((row["ai_model"], share, prices.missed_by_cache(row)))
    found.sort(key=lambda each: -each[2])
    return CacheUse(Decimal(cached) / prompt if prompt else None, saved, missed, found[:most])


# ── Other models ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class ComparedModel:
    """The same tokens on one model: USD, and how much more that is than was paid, 0.25 for a quarter more."""

    provider: str
    model: str
    usd: Decimal
    change: Decimal | None
    is_chosen: bool


@dataclass(frozen=True)
class Comparison:
    """`paid_usd`: for the compared tokens, of `calls` calls. `left_out`: calls without text or price.

    `choices`: provider → value and text of the models to compare with.
    """

    paid_usd: Decimal
    calls: int
    left_out: int
    rows: list[ComparedModel]
    choices: dict[str, list[tuple[str, str]]]


def comparison(models: Sequence[dict[str, Any]], chosen: str, today: date) -> Comparison:
    """Cost of the rows' text tokens on the most expensive models used here, and on `chosen`: `provider/model`."""
    rows = [
        row
        for row in models
        if row["cost_usd"] is not None and model_comparison.token_prices(row["ai_provider"], row["ai_model"], today)
    ]
    paid = sum((row["cost_usd"] for row in rows), Decimal(0))
    candidates = [(row["ai_provider"], row["ai_model"]) for row in rows[:SUGGESTED]]
    provider, _, name = chosen.partition("/")
    wanted = (provider, name)
    if chosen and wanted not in candidates:
        candidates.insert(0, wanted)
    found = []
    for candidate in candidates if rows else []:
        prices = model_comparison.token_prices(*candidate, today)
        if prices is not None:
            usd = sum((prices.cost(row) for row in rows), Decimal(0))
            found.append(ComparedModel(*candidate, usd, usd / paid - 1 if paid else None, candidate == wanted))
    choices: dict[str, list[tuple[str, str]]] = {}
    for provider, name in model_comparison.choices(today):
        choices.setdefault(provider, []).append((f"{provider}/{name}", name))
    return Comparison(
        paid_usd=paid,
        calls=sum(row["requests_count"] for row in rows),
        left_out=sum(row["requests_count"] for row in models) - sum(row["requests_count"] for row in rows),
        rows=sorted(found, key=lambda each: each.usd),
        choices=choices,
    )
