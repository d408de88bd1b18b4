"""Conditions of statements over calls and rollup rows: scope, filters, period and grain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from usage_billing.ledger import rollup
from usage_billing.models import user_keys
from usage_billing.models.daily_tag_usage import TAG_GRAINS
from usage_billing.models.daily_usage import GRAINS
from usage_billing.reports.parameters import TAG, UNPRICED, Excluded, Filters, Period, Values, narrowed
from usage_billing.reports.parameters import allowed as allowed_by
from usage_billing.reports.sql.tags import tag_of_call
from usage_billing.reports.sql.text import Sql, joined
from usage_billing.tenancy.scope import Scope

Allowed = Mapping[str, Values]
"""Name of a filter → the values that scope and filters allow."""

AMOUNTS = {"usd": "cost_usd", "rub": "cost_rub"}
NULLABLE = ("user_id", "workflow_id", "content_id")
"""Columns of calls that may be NULL."""


def coarsest(dimensions: Iterable[str], grains: Mapping[str, Sequence[str]] = GRAINS) -> str:
    """The grain that keeps these dimensions and the fewest others."""
    wanted = set(dimensions)
    return min((len(kept), grain) for grain, kept in grains.items() if wanted <= {*kept})[1]


def allowed_values(scope: Scope, filters: Filters) -> Iterator[dict[str, Values]]:
    """Yield what scope and filters allow by column, in parts that do not overlap; parts without rows are left out."""
    for part in _visible(scope):
        found = {name: allowed_by(value) for name, value in narrowed(part, filters).items()}
        if all(isinstance(values, Excluded) or values for values in found.values()):
            yield found


def _visible(scope: Scope) -> Iterator[dict[str, Any]]:
    if scope.everything:
        yield {}
        return
    if scope.owned_org_ids:
        yield {"org_id": scope.owned_org_ids}
    if scope.member_org_ids:
        yield {"org_id": scope.member_org_ids, "user_id": scope.user_id}


def where(allowed: Allowed, period: Period, grain: str | None = None) -> Sql:
    """Conditions for rollup rows of the grain; without a grain, for calls."""
    conditions = [condition(name, values, of_calls=grain is None) for name, values in allowed.items()]
    if grain is not None:
        conditions += of_grain(grain)
    return joined(" AND ", [*conditions, *days(period), Sql("1 = 1")])


def of_grain(grain: str) -> list[Sql]:
    """The condition of a grain's rows. Those over all organisations have an `org_id` too, which leads into the key."""
    of_all = [] if "org_id" in _KEPT[grain] else [Sql("org_id = %s", [rollup.ALL["org_id"]])]
    return [Sql("grain = %s", [grain]), *of_all]


_KEPT = {**GRAINS, **TAG_GRAINS}


def condition(name: str, values: Values, *, of_calls: bool) -> Sql:
    """The condition of one filter."""
    if name == UNPRICED:
        return _is_unpriced(values)
    column = tag_of_call(name.removeprefix(TAG)) if name.startswith(TAG) else Sql(name)
    # A user that a rollup keeps as `user_keys.nobody()` is NULL in a call.
    nullable = of_calls and name in NULLABLE
    excludes = isinstance(values, Excluded)
    given = values.values if isinstance(values, Excluded) else values
    if excludes and not given:
        return Sql("1 = 1")
    has_null = nullable and (None in given or (name == "user_id" and user_keys.nobody() in given))
    ordered = sorted(value for value in given if value is not None)
    parts = [_is_in(column, ordered, excludes=excludes)] if ordered else []
    if nullable and has_null != excludes:
        parts.append(Sql(f"{name} IS NULL"))
        return Sql(f"({' OR '.join(part.text for part in parts)})", joined("", parts).values)
    if nullable and excludes:
        parts.append(Sql(f"{name} IS NOT NULL"))
    return joined(" AND ", parts or [Sql("1 = 1" if excludes else "1 = 0")])


def _is_in(column: Sql, values: Sequence[Any], *, excludes: bool) -> Sql:
    if len(values) == 1:
        return Sql(f"{column.text} {'<>' if excludes else '='} %s", [*column.values, *values])
    marks = ", ".join(["%s"] * len(values))
    return Sql(f"{column.text} {'NOT IN' if excludes else 'IN'} ({marks})", [*column.values, *values])


def _is_unpriced(values: Values) -> Sql:
    """Unpriced in one of these currencies; excluded: priced in all of them."""
    excludes = isinstance(values, Excluded)
    given = values.values if isinstance(values, Excluded) else values
    if not given:
        return Sql("1 = 1" if excludes else "1 = 0")
    null, operator = ("IS NOT NULL", " AND ") if excludes else ("IS NULL", " OR ")
    return Sql(f"({operator.join(f'{AMOUNTS[currency]} {null}' for currency in sorted(given))})")


def days(period: Period) -> Iterator[Sql]:
    """The conditions of the period's billing days."""
    if period.since is not None:
        yield Sql("usage_date >= %s", [period.since])
    if period.until is not None:
        yield Sql("usage_date < %s", [period.until])
