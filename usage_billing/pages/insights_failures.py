"""Failed and unpriced calls by reason: in words, with what to do, and the parameters that lead to exactly these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse
from django.utils.translation import get_language, gettext, ngettext

from usage_billing import reports
from usage_billing.pages.insights_advice import advice_on_error, words_of_unpriced
from usage_billing.pages.page import Page
from usage_billing.reports import FailureGroup, Failures
from usage_billing.reports.failures import found_by_index
from usage_billing.reports.totals import Totals
from usage_billing.templatetags.amounts import style_of, write_number

NAMED = 2
"""Models that a title names."""
LISTED = 6
"""Models that the page lists of one reason."""
MOST_REASONS = 15
COUNTS = ("requests_count", "failed_count", "unpriced_usd_count")
COUNTED_UP_TO = 5_000
"""With more failed and unpriced calls than that, the newest alone are counted.

Milliseconds on PostgreSQL with a million calls, two busy cores: 6 for the newest thousand, 65 for all of 6,500, 310
for all of 20,000.
"""
WITHOUT_PRICE = ("unknown-model", "no-model")


@dataclass(frozen=True)
class FailureReason:
    """Calls with one reason. models: (provider, model), those with most calls first; more: how many are not named.

    narrowing: the URL parameters that narrow the calls to these. is_cut: there may be more calls than `count`.
    """

    title: str
    advice: str
    count: int
    is_cut: bool
    is_unpriced: bool
    lacks_price: bool
    models: list[tuple[str, str]]
    narrowing: dict[str, list[str]]

    @property
    def listed(self) -> list[tuple[str, str]]:
        return self.models[:LISTED]

    @property
    def more(self) -> int:
        return len(self.models) - len(self.listed)

    @property
    def number(self) -> str:
        """The count as text: more than it, where older calls were not counted."""
        number = write_number(self.count, style_of(get_language()))
        # Translators: a count of which only a part was read: more than so many
        return gettext("> %(number)s") % {"number": number} if self.is_cut else number


def failure_reasons(failures: Failures, *, for_superadmin: bool) -> list[FailureReason]:
    """The failures by reason, the most frequent first.

    Failed calls that are priced have one reason for each provider and error, unpriced ones one for each text.
    """
    alike: dict[tuple[str, ...], list[FailureGroup]] = {}
    for each in failures.groups:
        if each.reason:
            key = (*words_of_unpriced(each.reason, for_superadmin=for_superadmin), each.error_code)
        else:
            key = (each.ai_provider, advice_on_error(each.error_code), each.error_code)
        alike.setdefault((each.reason and "unpriced", *key), []).append(each)
    found = [_reason(group, title, advice, is_cut=failures.is_cut) for (_, title, advice, _), group in alike.items()]
    return sorted(found, key=lambda each: -each.count)


def _reason(group: Sequence[FailureGroup], title: str, advice: str, *, is_cut: bool) -> FailureReason:
    """title: of an unpriced call its reason, of a failed one the provider."""
    first = group[0]
    models = list(dict.fromkeys((each.ai_provider, each.ai_model) for each in group))
    lacks_price = first.reason in WITHOUT_PRICE
    narrowing = {
        "status": sorted({each.status for each in group}),
        "error_code": [first.error_code],
        "price_source": sorted({each.price_source for each in group}),
    }
    if not first.reason:
        narrowing["ai_provider"] = [first.ai_provider]
        title = f"{title}: {first.error_code or gettext('failed without an error code')}"
    elif lacks_price:
        title = gettext("No price for %(models)s") % {"models": _named(models)}
    elif first.error_code:
        title = f"{title} ({first.error_code})"
    return FailureReason(
        title,
        advice,
        sum(each.count for each in group),
        is_cut,
        is_unpriced=bool(first.reason),
        lacks_price=lacks_price,
        models=models,
        narrowing=narrowing,
    )


def _named(models: Sequence[tuple[str, str]]) -> str:
    names = ", ".join(name or "—" for _, name in models[:NAMED])
    more = len(models) - NAMED
    if more <= 0:
        return names
    return names + " " + ngettext("and %(number)s more", "and %(number)s more", more) % {"number": more}


# ── The section ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Entry:
    """A reason, the address of its calls, and the names and addresses under which a price can be added."""

    reason: FailureReason
    link: str
    prices: list[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """without_rate: calls that have no amount in RUB for lack of an exchange rate, of `unpriced_rub`."""

    entries: list[Entry]
    more: int
    failed: int
    failed_link: str
    unpriced: int
    unpriced_link: str
    without_rate: int
    unpriced_rub: int
    unpriced_rub_link: str
    is_cut: bool


def _are_few(page: Page, total: Totals) -> bool:
    """Whether all failed and unpriced calls can be read: with those that a filter leaves out, which are read too."""
    indexed = found_by_index(page.parameters.filters)
    if indexed != page.parameters.filters:
        (total,) = reports.totals(page.scope, filters=indexed, period=page.parameters.period, measures=COUNTS)
    return bool(total["failed_count"] + total["unpriced_usd_count"] <= COUNTED_UP_TO)


def section(page: Page, total: Totals) -> Section:
    """One query; with filters two."""
    period, filters = page.parameters.period, page.parameters.filters
    failed, unpriced = total["failed_count"], total["unpriced_usd_count"]
    read = reports.all_failures if _are_few(page, total) else reports.failures
    found = read(page.scope, period, filters=filters)
    reasons = failure_reasons(found, for_superadmin=page.scope.everything)
    unpriced_rub = total["unpriced_rub_count"]
    return Section(
        entries=[
            Entry(each, page.calls(each.narrowing), price_links(each, for_superadmin=page.scope.everything))
            for each in reasons[:MOST_REASONS]
        ],
        more=max(0, len(reasons) - MOST_REASONS),
        failed=failed,
        failed_link=page.calls(status="failed"),
        unpriced=unpriced,
        unpriced_link=page.calls(unpriced="usd"),
        without_rate=max(0, unpriced_rub - unpriced),
        unpriced_rub=unpriced_rub,
        unpriced_rub_link=page.calls(unpriced="rub"),
        is_cut=found.is_cut,
    )


def price_links(reason: FailureReason, *, for_superadmin: bool) -> list[tuple[str, str]]:
    """Model → the admin's form for a price override of it; empty for others than superadmins, and without the admin."""
    if not (for_superadmin and reason.lacks_price):
        return []
    return add_price_links(reason.listed)


def add_price_links(models: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    try:
        address = reverse("admin:usage_billing_priceoverride_add")
    except NoReverseMatch:
        return []
    return [
        (model, f"{address}?{urlencode({'provider': provider, 'model_pattern': model})}")
        for provider, model in models
        if model
    ]
