"""Where the price of one call comes from, in words, and why a cost is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext

from usage_billing.costing import pricing
from usage_billing.models import UsageRecord
from usage_billing.pages.insights_failures import FailureReason, failure_reasons
from usage_billing.reports import FailureGroup, Failures


@dataclass(frozen=True)
class Unpriced:
    """Why the cost is unknown, and what to do about it."""

    reason: str
    advice: str


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
        reason = _failure(call, for_superadmin=for_superadmin)
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
    return _failure(call, for_superadmin=for_superadmin).advice


def _failure(call: UsageRecord, *, for_superadmin: bool) -> FailureReason:
    """The words that the insights have for calls like this one."""
    group = FailureGroup(call.status, call.ai_provider, call.ai_model, call.price_source, call.error_code, 1)
    return failure_reasons(Failures([group], is_cut=False), for_superadmin=for_superadmin)[0]
