"""The cost of one call in words: what it used, at which price, and why an amount is unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.utils.translation import get_language, gettext, gettext_lazy as _, ngettext

from usage_billing.costing import cost_lines, pricing
from usage_billing.costing.cost_lines import (
    CACHE_WRITE,
    CACHED,
    CONTAINER,
    INPUT,
    OUTPUT,
    REPORTED,
    ROUNDING,
    TOGETHER,
    UNEXPLAINED,
    CostLine,
    Units,
)
from usage_billing.models import UsageRecord
from usage_billing.pages import insights
from usage_billing.pages.dimensions import Word
from usage_billing.reports import FailureGroup
from usage_billing.templatetags.amounts import style_of, write_number

KINDS: dict[str, Word] = {
    INPUT: _("Input"),
    CACHED: _("Input, from the cache"),
    CACHE_WRITE: _("Cache write"),
    OUTPUT: _("Output"),
    REPORTED: _("Charged by the provider, as its answer says"),
    ROUNDING: _("Rounding"),
    UNEXPLAINED: _("Not explained by the record"),
    TOGETHER: _("Together"),
}
UNITS: dict[str, Word] = {
    "web_searches": _("Web searches"),
    "storage_searches": _("File searches"),
    "social_searches": _("Social searches"),
    "rerank_searches": _("Rerank searches"),
    "code_executions": _("Code executions"),
    "requests": _("Requests"),
    "input_characters": _("Characters of text"),
    "audio_seconds": _("Seconds of audio"),
    "input_audio_seconds": _("Seconds of audio"),
    "output_audio_seconds": _("Seconds of audio"),
    "input_document_pages": _("Pages"),
    "input_annotated_document_pages": _("Annotated pages"),
}
WITHIN: dict[str, Word] = {
    "reasoning": _("reasoning"),
    "citation": _("citations"),
    "tool": _("tools"),
    "audio": _("audio"),
    "image": _("images"),
    "video": _("video"),
    "text": _("text"),
    "write": _("cache writes"),
}
"""A word in the key of a contained unit → how it is called; the first that occurs."""
LIFETIMES = {"5m": _("5 min"), "1h": _("1 h")}
OPENAI_LIFETIMES = {"5m": _("30 min"), "1h": _("12 h")}
"""OpenAI, ResponseUsage: its cache writes last longer; the price list names both after Anthropic's."""
PER: dict[int, Word] = {
    1: _("each"),
    1000: _("per 1,000"),
    3600: _("per hour"),
    1_000_000: _("per million"),
    1_000_000_000: _("per billion"),
}


@dataclass(frozen=True)
class Line:
    """A row of the table. amount: all digits, empty if unknown; note: what the row contains, or how to read it."""

    what: str
    units: str
    price: str
    per: str
    amount: str
    note: str


@dataclass(frozen=True)
class Unpriced:
    """Why the cost is unknown, and what to do about it."""

    reason: str
    advice: str


def lines(call: UsageRecord) -> list[Line]:
    """The cost line by line; the amounts add up to the cost, or to its known part."""
    is_openai = call.ai_provider in ("openai", "azure")
    found = cost_lines.lines({**vars(call)})
    kinds = [line.kind for line in found]
    if REPORTED in kinds:
        found = [line for line in found if line.kind == REPORTED or line.units]
    return [_line(line, is_openai=is_openai) for line in found]


def _line(line: CostLine, *, is_openai: bool) -> Line:
    style = style_of(get_language())
    whole = sum(each.count for each in line.units)
    within = [each for each in line.within if each.count != whole or each.key.endswith("reasoning_tokens")]
    return Line(
        what=_what(line, is_openai=is_openai),
        units=" + ".join(write_number(each.count, style) for each in line.units),
        price="" if line.price is None else _decimals(line.price),
        per=str(PER.get(line.per, f"/ {line.per}")) if line.units and line.price is not None else "",
        amount="" if line.amount is None else _decimals(line.amount),
        note=". ".join(_notes(line, within, is_openai=is_openai)),
    )


def _what(line: CostLine, *, is_openai: bool) -> str:
    if len(line.units) != 1:
        return " + ".join(_unit(each) for each in line.units) or str(KINDS.get(line.kind, line.kind))
    (units,) = line.units
    only = [each for each in line.within if each.count == units.count and not each.key.endswith("reasoning_tokens")]
    name = _unit(units) if units.key in UNITS or units.key.startswith(CONTAINER) else str(KINDS.get(line.kind, line.kind))
    if only and name == str(KINDS.get(line.kind)) and (word := _within(only[0], is_openai=is_openai)):
        return f"{name}, {word}"
    return name


def _unit(units: Units) -> str:
    if units.key.startswith(CONTAINER):
        memory = units.key.partition(":")[2]
        return gettext("Container sessions, %(memory)s") % {"memory": memory} if memory else gettext("Container sessions")
    kinds = {"input_tokens": INPUT, "cache_read_tokens": CACHED, "cache_write_tokens": CACHE_WRITE, "output_tokens": OUTPUT}
    return str(UNITS.get(units.key) or KINDS.get(kinds.get(units.key, "")) or units.key.replace("_", " "))


def _within(units: Units, *, is_openai: bool) -> str:
    lifetimes = OPENAI_LIFETIMES if is_openai else LIFETIMES
    for ending, word in lifetimes.items():
        if f"write_{ending}" in units.key:
            return str(word)
    return next((str(word) for name, word in WITHIN.items() if f"_{name}" in units.key), "")


def _notes(line: CostLine, within: list[Units], *, is_openai: bool) -> Iterator[str]:
    style = style_of(get_language())
    if within:
        parts = [f"{_within(each, is_openai=is_openai)} {write_number(each.count, style)}" for each in within]
        yield gettext("of which %(parts)s") % {"parts": ", ".join(parts)}
    if line.models:
        yield gettext("on %(models)s") % {"models": ", ".join(line.models)}
    if line.is_average:
        yield gettext("the price is the average of several")
    if line.kind == TOGETHER:
        yield gettext("the record does not say how the amount is divided")
    if line.kind == ROUNDING:
        yield gettext("each line is rounded, the cost only once")


def _decimals(value: Decimal) -> str:
    """All digits of an amount or price, with two decimals at least."""
    digits = value.normalize()
    exponent = digits.as_tuple().exponent
    places = max(2, -exponent if isinstance(exponent, int) else 0)
    return write_number(digits.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP), style_of(get_language()))


# ── Where the price comes from ───────────────────────────────────────────────────────────────────────────────────


def price_source(call: UsageRecord) -> str:
    """Where the price comes from, in words."""
    kind, _separator, detail = call.price_source.partition(":")
    match kind:
        case "override":
            return gettext("Price override %(id)s") % {"id": detail.partition(" ")[0]}
        case "reported":
            return gettext("Reported by %(provider)s") % {"provider": detail}
        case "not-charged":
            return _not_charged(detail)
        case "unpriced":
            return gettext("Unpriced")
    return call.price_source


def _not_charged(detail: str) -> str:
    texts = {
        "failed": gettext("Not charged: the provider bills nothing for a failed request"),
        "refusal": gettext("Not charged: the provider bills nothing for this refusal"),
        "in-its-requests": gettext("Charged with the requests of the batch, which are calls of their own"),
    }
    return texts.get(detail, gettext("Not charged"))


def context_notes(call: UsageRecord) -> list[str]:
    """What makes the price differ from the standard one; the lines have it in their prices."""
    said = pricing.context_of(_texts(call.response_metadata.get("context")), call.usage)
    special = {name: value for name, value in said.items() if value not in pricing.STANDARD.get(name, ())}
    return [_context_note(name, value) for name, value in special.items() if name != "model"]


def _texts(value: Any) -> Mapping[str, str]:
    return {name: text for name, text in value.items() if isinstance(text, str)} if isinstance(value, dict) else {}


def _context_note(name: str, value: str) -> str:
    texts = {
        ("service_tier", "batch"): gettext("Batch: the prices include its discount"),
        ("service_tier", "flex"): gettext("Flex processing: the prices include its discount"),
        ("service_tier", "priority"): gettext("Priority processing: the prices include its surcharge"),
        ("speed", "fast"): gettext("Fast mode: the prices include its surcharge"),
        ("inference_geo", "us"): gettext("Inference in the US only: the prices include its surcharge"),
    }
    names = {
        "region": gettext("Region: %(value)s"),
        "location": gettext("Location: %(value)s"),
        "service_tier": gettext("Service tier: %(value)s"),
        "search": gettext("Kind of search: %(value)s"),
    }
    return texts.get((name, value)) or names.get(name, f"{name}: %(value)s") % {"value": value}


def unpriced(call: UsageRecord, *, for_superadmin: bool) -> Unpriced | None:
    """The reason of an unknown cost in USD, or in RUB alone; None if both are known."""
    if call.cost_usd is None:
        group = FailureGroup(call.status, call.ai_provider, call.ai_model, call.price_source, call.error_code, 1)
        (reason,) = insights.failure_reasons([group], for_superadmin=for_superadmin)
        return Unpriced(reason.reason, reason.advice)
    if call.cost_rub is None:
        advice = gettext("Run fetch_exchange_rates, then reprice_usage.")
        return Unpriced(
            gettext("No exchange rate was known for the billing day, so the cost in RUB is unknown."),
            advice if for_superadmin else gettext("Ask a superadmin to fetch the exchange rates."),
        )
    return None


def error_advice(call: UsageRecord, *, for_superadmin: bool) -> str:
    """What to do about a failed call whose cost is known."""
    if call.status != UsageRecord.Status.FAILED or call.cost_usd is None:
        return ""
    group = FailureGroup(call.status, call.ai_provider, call.ai_model, call.price_source, call.error_code, 1)
    (reason,) = insights.failure_reasons([group], for_superadmin=for_superadmin)
    return reason.advice


def tokens_text(call: UsageRecord) -> str:
    style = style_of(get_language())
    text = ngettext("%(number)s token", "%(number)s tokens", call.total_tokens)
    return text % {"number": write_number(call.total_tokens, style)}
