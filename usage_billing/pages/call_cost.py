"""The cost of one call line by line, in words: what it used, at which price."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from usage_billing.costing import cost_lines
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
from usage_billing.pages.dimensions import Word
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
KINDS_OF_TOKENS = {
    "input_tokens": INPUT,
    "cache_read_tokens": CACHED,
    "cache_write_tokens": CACHE_WRITE,
    "output_tokens": OUTPUT,
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


def lines(call: UsageRecord) -> list[Line]:
    """The cost line by line; the amounts add up to the cost, or to its known part."""
    is_openai = call.ai_provider in ("openai", "azure")
    return [_line(line, is_openai=is_openai) for line in cost_lines.lines({**vars(call), "usage": call.usage})]


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
        note="; ".join(_notes(line, within, is_openai=is_openai)),
    )


def _what(line: CostLine, *, is_openai: bool) -> str:
    """The name of a line: of its unit, of its kind, or of all units that share the amount."""
    kind = str(KINDS.get(line.kind, line.kind))
    if len(line.units) > 1:
        return " + ".join(_unit(each) for each in line.units)
    if not line.units or (units := line.units[0]).key not in KINDS_OF_TOKENS:
        return _unit(line.units[0]) if line.units else kind
    # All of one modality or lifetime: that names the line.
    only = (_within(each, is_openai=is_openai) for each in line.within if each.count == units.count)
    return ", ".join([kind, *(word for word in only if word != str(WITHIN["reasoning"]))][:2])


def _unit(units: Units) -> str:
    key, _separator, memory = units.key.partition(":")
    if key == CONTAINER:
        return gettext("Container sessions, %(memory)s") % {"memory": memory or "?"}
    return str(UNITS.get(key) or KINDS.get(KINDS_OF_TOKENS.get(key, "")) or key.replace("_", " "))


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
