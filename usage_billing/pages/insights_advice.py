"""Explain in one short sentence what a failed or unpriced call means and what to do about it."""

from __future__ import annotations

from django.utils.translation import gettext


def words_of_unpriced(reason: str, *, for_superadmin: bool) -> tuple[str, str]:
    """A short title and the advice. reason: `price_source` without its `unpriced:`."""
    ask = gettext("Ask a superadmin to add a price override.")
    kind, _, detail = reason.partition(":")
    match kind:
        case "unknown-model" | "no-model":
            advice = gettext("Update the price list or add a price override, then reprice the calls.")
            return gettext("No price for the model"), advice if for_superadmin else ask
        case "no-price-for" | "unknown-context":
            title = gettext("No price for %(what)s") % {"what": detail.replace(",", ", ")}
            advice = gettext("Add a price override that names it, then reprice the calls.")
            return title, advice if for_superadmin else ask
        case "unknown-usage-field":
            title = gettext("Unknown field in the usage: %(what)s") % {"what": detail}
            return title, gettext("Open a call: its usage is kept as the provider reported it.")
        case "cut-short":
            return (
                gettext("Cut short before the answer was complete"),
                gettext("Read streams to their end, where the usage comes, and allow more time."),
            )
        case "pending":
            return gettext("Answer not fetched yet"), gettext("Fetch it: its tokens and its cost come with it.")
        case "unknown-endpoint":
            return (
                gettext("Unknown endpoint without usage"),
                gettext("Look up in the provider's documentation how it is billed."),
            )
        case "used-elsewhere":
            return (
                gettext("Session used by a browser or a telephone"),
                gettext("Connect to the session from the server to record its responses."),
            )
        case "results-not-read":
            return gettext("Results of a batch not read"), gettext("Read them: their usage comes with them.")
        case _ if title := _not_told(kind):
            return title, gettext("The price depends on it. Record the call itself, by the client or the proxy.")
        case _:
            return (
                gettext("Usage missing or contradictory: %(reason)s") % {"reason": reason},
                gettext("Open a call: its usage is kept as the provider reported it."),
            )


def _not_told(kind: str) -> str:
    """The title of a call whose reporter left out what its price depends on (`costs.MISSING`); empty for any other."""
    titles = {
        "cache-write-lifetime": gettext("Reported without the lifetime of cache writes"),
        "inclusive-or-exclusive": gettext("Not told whether the input includes cached tokens"),
        "output-counted-twice": gettext("Reported by a program that counts a part of the output twice"),
        "output-perhaps-counted-twice": gettext("Reported by a program that may count a part of the output twice"),
        "service-tier": gettext("Reported without the service tier of the answer"),
        "modalities": gettext("Reported without telling text, audio and images apart"),
        "compaction": gettext("Reported without the model of its compaction"),
        "subscription": gettext("Paid by a subscription of the coding agent"),
        "input-tokens": gettext("Reported without input tokens"),
        "output-tokens": gettext("Reported without output tokens"),
        "unreadable-count": gettext("Reported with a count that cannot be read"),
        "unknown-operation": gettext("Reported with an operation that is not known"),
    }
    return titles.get(kind, "")


def advice_on_error(code: str) -> str:
    """By the HTTP status that an error code begins with, or the error's name."""
    status = code[:3]
    if status == "429" or "rate_limit" in code or "quota" in code:
        return gettext("Spread the calls, or ask the provider for a higher limit.")
    if status in ("401", "403") or "auth" in code or "permission" in code:
        return gettext("Check the key and what it may do.")
    if status.startswith("5") or "overloaded" in code:
        return gettext("The clients retry by themselves; if it goes on, use another model.")
    if "imeout" in code or "onnection" in code:
        return gettext("Check the network and the client's timeout.")
    if status.startswith("4"):
        return gettext("The provider refused the request: the error names what is wrong with it.")
    return gettext("Open a call to see its details.")
