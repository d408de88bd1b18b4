"""The conditions of the statements that are written out here: which rows are in scope, match, and lie in a period."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from usage_billing.reports.parameters import Period
from usage_billing.tenancy.scope import Scope


@dataclass(frozen=True)
class Sql:
    """A piece of a statement, and the values of its placeholders."""

    text: str
    values: Sequence[Any] = ()


def all_of(conditions: Sequence[Sql]) -> Sql:
    return joined(" AND ", conditions) if conditions else Sql("1 = 1")


def joined(separator: str, parts: Sequence[Sql]) -> Sql:
    return Sql(separator.join(part.text for part in parts), [value for part in parts for value in part.values])


def visible(scope: Scope) -> Iterator[tuple[dict[str, Any], set[str]]]:
    """Column → values of the rows in scope, in parts that do not overlap, and the dimensions that tell them."""
    if scope.everything:
        yield {}, set()
        return
    if scope.owned_org_ids:
        yield {"org_id": scope.owned_org_ids}, {"org_id"}
    if scope.member_org_ids:
        yield {"org_id": scope.member_org_ids, "user_id": scope.user_id}, {"org_id", "user_id"}


def narrowed(wanted: Iterable[tuple[str, Any]], *, of_calls: bool) -> list[Sql] | None:
    """The conditions that each column has that value, or one of those; None where no row can meet all of them.

    A column may come twice, out of the scope and out of the filters.
    """
    allowed: dict[str, set[Any]] = {}
    for name, value in wanted:
        values = {*value} if isinstance(value, set | frozenset) else {value}
        allowed[name] = allowed[name] & values if name in allowed else values
    if not all(allowed.values()):
        return None
    return [_is_one_of(name, values, of_calls=of_calls) for name, values in allowed.items()]


def _is_one_of(name: str, values: set[Any], *, of_calls: bool) -> Sql:
    """No user is 0 in the totals, and NULL at a call."""
    ordered = sorted(values)
    condition = f"{name} = %s" if len(ordered) == 1 else f"{name} IN ({', '.join(['%s'] * len(ordered))})"
    if of_calls and name == "user_id" and 0 in values:
        condition = f"({condition} OR user_id IS NULL)"
    return Sql(condition, ordered)


def days(period: Period) -> Iterator[Sql]:
    if period.since is not None:
        yield Sql("usage_date >= %s", [period.since])
    if period.until is not None:
        yield Sql("usage_date < %s", [period.until])
