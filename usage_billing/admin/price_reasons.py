"""Says in words why a call has no price: `price_source` has a short reason for programs."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from usage_billing.admin.price_units import label_of_usage

NO_PRICE_FOR = "no-price-for:"

REASONS: dict[str, str | Promise] = {
    "cut-short": _("cut short: what was used is not known"),
    "pending": _("not answered yet"),
    "unknown-model": _("the price list does not know the model"),
    "no-model": _("no model was named"),
    "no-usage": _("the answer told no usage"),
}


def reason_text(reason: str) -> str:
    """Return the words for a reason; the reason itself if it has none here."""
    if reason.startswith(NO_PRICE_FOR):
        units = ", ".join(label_of_usage(unit) for unit in reason.removeprefix(NO_PRICE_FOR).split(","))
        return gettext("no price for: %(units)s") % {"units": units}
    return str(REASONS.get(reason, reason))
