"""What the readers of rows have in common: their errors, the names that a run maps, and cells of tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.utils.translation import gettext

from usage_billing.ingest.events import EARLIEST, EventError, Given
from usage_billing.recording.gate import LARGEST_NUMBER


class SkippedError(Exception):
    """Raised for a row that is no call, such as an empty day. The text says what it is."""


@dataclass(frozen=True)
class Maps:
    """Names in the file → organisations (slug or id) and users (key or log-in name) here."""

    orgs: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)

    def org(self, *names: Any) -> str | None:
        """The organisation of the first name that is mapped."""
        return next((self.orgs[text] for name in names if (text := text_of(name)) in self.orgs), None)

    def user(self, *names: Any) -> str | None:
        return next((self.users[text] for name in names if (text := text_of(name)) in self.users), None)


Reader = Callable[[Mapping[str, Any], Maps, datetime], Given]
"""(row, maps, now) → the call. Raises `EventError` and `SkippedError`."""


def text_of(value: Any) -> str:
    """Return a cell as text; empty for one that says nothing."""
    return "" if value is None else str(value).strip()


def count_of(row: Mapping[str, Any], name: str) -> int:
    """Return a whole number of at least 0, however it is written (`59200.0`); 0 for an empty cell."""
    given = row.get(name)
    if given is None or given == "":
        return 0
    try:
        number = float(given)
        if isinstance(given, bool) or not number.is_integer() or not 0 <= number <= LARGEST_NUMBER:
            raise ValueError(given)
    except (TypeError, ValueError):
        raise EventError(
            gettext("%(column)s must be a whole number, 0 or more: %(value)s.") % {"column": name, "value": given}
        ) from None
    return int(number)


def object_of(value: Any) -> dict[str, Any]:
    """Return a JSON object, given as one or as text; an empty one for anything else."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return {}
    return value if isinstance(value, dict) else {}


def moment_of(row: Mapping[str, Any], names: Iterable[str]) -> datetime:
    """Return the moment in the first of these columns that has one: ISO 8601 (UTC without an offset) or epoch seconds.

    Raises `EventError` if none has.
    """
    for name in names:
        if (given := text_of(row.get(name))) and (moment := _moment(given)) is not None:
            return moment
    raise EventError(gettext("No moment can be read in %(columns)s.") % {"columns": ", ".join(names)})


def _moment(given: str) -> datetime | None:
    try:
        moment = datetime.fromtimestamp(float(given), UTC) if given.replace(".", "", 1).isdigit() else None
        moment = moment or datetime.fromisoformat(given)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def expect_past(moment: datetime, now: datetime) -> datetime:
    """Raise `EventError` for a moment that cannot be that of a call."""
    if moment < EARLIEST:
        raise EventError(gettext("time lies before 2015."))
    if moment > now:
        raise EventError(gettext("time lies in the future. Epoch times are in seconds."))
    return moment
