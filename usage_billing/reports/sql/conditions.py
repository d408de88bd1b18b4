"""Conditions of statements over calls and rollup rows: scope, filters, period and grain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from usage_billing.models import user_keys
from usage_billing.models.daily_usage import GRAINS
from usage_billing.reports.parameters import Period
from usage_billing.tenancy.scope import Scope


@dataclass(frozen=True)
class Sql:
    """A piece of a statement, and the values of its placeholders."""

    text: str
    values: Sequence[Any] = ()


def joined(separator: str, parts: Iterable[Sql]) -> Sql:
    known = list(parts)
    return Sql(separator.join(part.text for part in known), [value for part in known for value in part.values])


def coarsest(dimensions: Iterable[str]) -> str:
    """The grain that keeps these dimensions and the fewest others."""
    wanted = set(dimensions)
    return min((len(kept), grain) for grain, kept in GRAINS.items() if wanted <= {*kept})[1]


def allowed_values(scope: Scope, filters: Mapping[str, Any]) -> Iterator[dict[str, set[Any]]]:
    """Column → values that scope and filters allow, in parts that do not overlap; parts without rows are left out."""
    for part in _visible(scope):
        allowed: dict[str, set[Any]] = {}
        for name, value in [*part.items(), *filters.items()]:
            values = {*value} if isinstance(value, set | frozenset) else {value}
            allowed[name] = allowed[name] & values if name in allowed else values
        if all(allowed.values()):
            yield allowed


def _visible(scope: Scope) -> Iterator[dict[str, Any]]:
    if scope.everything:
        yield {}
        return
    if scope.owned_org_ids:
        yield {"org_id": scope.owned_org_ids}
    if scope.member_org_ids:
        yield {"org_id": scope.member_org_ids, "user_id": scope.user_id}


def where(allowed: Mapping[str, set[Any]], period: Period, grain: str | None = None) -> Sql:
    """Conditions for rollup rows of the grain; without a grain, for calls."""
    conditions = [_is_one_of(name, values, of_calls=grain is None) for name, values in allowed.items()]
    if grain is not None:
        conditions.append(Sql("grain = %s", [grain]))
    return joined(" AND ", [*conditions, *_days(period), Sql("1 = 1")])


def _is_one_of(name: str, values: set[Any], *, of_calls: bool) -> Sql:
    """A rollup row without a user has `user_keys.nobody()`, a call has NULL."""
    ordered = sorted(values)
    condition = f"{name} = %s" if len(ordered) == 1 else f"{name} IN ({', '.join(['%s'] * len(ordered))})"
    if of_calls and name == "user_id" and user_keys.nobody() in values:
        condition = f"({condition} OR user_id IS NULL)"
    return Sql(condition, ordered)


def _days(period: Period) -> Iterator[Sql]:
    if period.since is not None:
        yield Sql("usage_date >= %s", [period.since])
    if period.until is not None:
        yield Sql("usage_date < %s", [period.until])
