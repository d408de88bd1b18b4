"""Where the price of one call comes from, in words, and why a cost is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext

from usage_billing.costing import pricing
from usage_billing.models import UsageRecord
from usage_billing.pages.insights_advice import advice_on_error, words_of_unpriced
from usage_billing.pages.insights_failures import WITHOUT_PRICE, add_price_links


@dataclass(frozen=True)
class Unpriced:
    """Why the cost is unknown, and what to do about it. add_price: the address of the form for a price of the model."""

    reason: str
    advice: str
    add_price: str = ""


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
            return gettext("Unpriced") + f" ({detail})"
    return call.price_source


def _not_charged(detail: str) -> str:
    texts = {
        "failed": gettext("Not charged: the provider bills nothing for a failed request"),
        "refusal": gettext("Not charged: the provider bills nothing for this refusal"),
        "refused": gettext("Not charged: a budget stopped the call before it was sent"),
        "in-its-requests": gettext("Charged with the requests of the batch, which are calls of their own"),
    }
    return texts.get(detail, gettext("Not charged"))


def context_notes(call: UsageRecord) -> list[str]:
    """Name what makes the price differ from the standard one; the prices of the lines include it."""
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
    if name in names:
        return texts.get((name, value), names[name] % {"value": value})
    return texts.get((name, value), f"{name}: {value}")


def unpriced(call: UsageRecord, *, for_superadmin: bool) -> Unpriced | None:
    """The reason of an unknown cost in USD, or in RUB alone; None if both are known."""
    if call.cost_usd is None:
        reason = call.price_source.removeprefix("unpriced:")
        links = (
            add_price_links([(call.ai_provider, call.ai_model)]) if for_superadmin and reason in WITHOUT_PRICE else []
        )
        return Unpriced(*words_of_unpriced(reason, for_superadmin=for_superadmin), links[0][1] if links else "")
    if call.cost_rub is None:
        advice = gettext("Run fetch_exchange_rates, then reprice_usage.")
        return Unpriced(
            gettext("No exchange rate was known for the billing day, so the cost in RUB is unknown."),
            advice if for_superadmin else gettext("Ask a superadmin to fetch the exchange rates."),
        )
    return None


def error_advice(call: UsageRecord) -> str:
    """Say what to do about a failed call."""
    return advice_on_error(call.error_code) if call.status == UsageRecord.Status.FAILED else ""
