"""The form of all filters that an address can have: lists of values to tick, and fields for those that are typed.

What is typed has a name of its own: see `filters.typed_filters`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext

from usage_billing import reports
from usage_billing.api.filters import EXCLUDES
from usage_billing.models import UsageRecord
from usage_billing.pages import dimensions
from usage_billing.pages.controls import UNPRICED, value_text
from usage_billing.pages.dimensions import ORG, STATUS, Dimension
from usage_billing.pages.filters import ANY_TAG
from usage_billing.pages.names import of_organizations
from usage_billing.pages.page import Page
from usage_billing.pages.parameters import CURRENCIES
from usage_billing.pages.tag_keys import tag_keys
from usage_billing.reports.parameters import TAG
from usage_billing.reports.totals import COST_MEASURES

OPTIONS = 100
"""Entries of a filter's list: those that cost most."""
TYPED = ("workflow_id", "content_id", "error_code")
"""Filters of too many values for a list."""
RARE = ("price_source", "provider_organization", "provider_project", "api_key", "user_profile")
"""Typed filters that few people need."""
NEVER_EMPTY = ("price_source",)


@dataclass(frozen=True)
class Field:
    """A filter in the form. options: value, name, and `is`, `not` or nothing. is_typed: other values can be typed."""

    name: str
    label: str
    options: list[tuple[str, str, str]]
    is_typed: bool = False
    hint: str = ""

    @property
    def is_set(self) -> bool:
        return any(mode for _, _, mode in self.options)


def context(page: Page) -> dict[str, Any]:
    """What the form's template needs. kept_by_filters: the parameters that it has no field for."""
    shown, rare = _fields(page), [_typed(page, name) for name in RARE]
    names = [field.name for field in (*shown, *rare)]
    return {
        "filter_fields": shown,
        "rare_filter_fields": rare,
        "has_rare_filters": any(field.is_set for field in rare),
        "kept_by_filters": page.parameters.hidden([*names, *(name + EXCLUDES for name in names)]),
    }


def _fields(page: Page) -> list[Field]:
    """The lists have the values that cost most in the period: one query for each, two for a tag."""
    given = dict.fromkeys(name.removesuffix(EXCLUDES) for name, _ in page.parameters.filter_pairs)
    keys = dict.fromkeys([*(name.removeprefix(TAG) for name in given if name.startswith(TAG)), *tag_keys(page)])
    return [
        *(_listed(page, dimension) for dimension in dimensions.offered(page.scope)),
        *(_typed(page, name) for name in TYPED),
        _field(page, UNPRICED, CURRENCIES),
        *(_listed(page, dimensions.of_tag(key)) for key in keys),
        Field(ANY_TAG, gettext("Another tag"), [], is_typed=True, hint="feature=search"),
    ]


def _listed(page: Page, dimension: Dimension) -> Field:
    values = _values(page, dimension)
    is_cut = dimension != ORG and len(values) == OPTIONS
    return _field(page, dimension.parameters[-1], values, is_typed=is_cut)


def _typed(page: Page, name: str) -> Field:
    return _field(page, name, () if name in NEVER_EMPTY else ("",), is_typed=True)


def _field(page: Page, name: str, values: Iterable[str], *, is_typed: bool = False) -> Field:
    """A filter with these values and those of the address, by name."""
    modes = dict.fromkeys(page.parameters.given(name), "is")
    modes |= dict.fromkeys(page.parameters.given(name + EXCLUDES), "not")
    names = {text: value_text(page, name, text) for text in (*values, *modes)}
    ordered = sorted(names.items(), key=lambda option: option[1].casefold())
    options = [(text, option, modes.get(text, "")) for text, option in ordered]
    return Field(name, dimensions.label(name), options, is_typed=is_typed)


def _values(page: Page, dimension: Dimension) -> list[str]:
    if dimension == ORG:
        page.names.orgs |= of_organizations(page.scope)
        return [str(id_) for id_ in page.names.orgs]
    if dimension == STATUS:
        return [str(value) for value in UsageRecord.Status.values]
    column = dimension.columns[-1]
    others = {name: value for name, value in page.parameters.filters.items() if name != column}
    rows = reports.totals(
        page.scope,
        by=(column,),
        filters=others,
        period=page.parameters.period,
        limit=OPTIONS,
        measures=COST_MEASURES,
    )
    page.names.look_up_rows(dimension, rows)
    return [str(row[column]) for row in rows]
