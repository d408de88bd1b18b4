"""What begins, goes on and ends, given the readings and the alerts there are: a pure function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from usage_billing.alerts.readings import Reading, Readings
from usage_billing.models import AlertFiring

BELOW, WINDOW, UNWATCHED = AlertFiring.Ended.BELOW, AlertFiring.Ended.WINDOW, AlertFiring.Ended.UNWATCHED


class Step(Enum):
    BEGIN = auto()
    REMIND = auto()
    END = auto()
    MARK = auto()
    """Nothing is told: an alert of an earlier window that had crossed is below its bound again."""


@dataclass(frozen=True)
class Decision:
    """ended: why it ends; a crossing in a window that is over begins and ends at once. firing: the one there is."""

    step: Step
    key: str
    reading: Reading | None
    firing: AlertFiring | None = None
    ended: AlertFiring.Ended | None = None


def decide(
    readings: Readings,
    firing: Mapping[str, AlertFiring],
    earlier: Mapping[str, AlertFiring],
    *,
    renotify_after: timedelta | None,
    now: datetime,
) -> list[Decision]:
    """firing: the alerts that fire, by key. earlier: the latest alert of each key whose window is over."""
    found = [*_begun(readings, firing, earlier)]
    for key, each in firing.items():
        reading = readings.by_key.get(key)
        ended = _why_over(readings, key, reading)
        if ended is not None:
            found.append(Decision(Step.END, key, reading, each, ended))
        elif _is_due(each, reading, renotify_after, now):
            found.append(Decision(Step.REMIND, key, reading, each))
    return found


def _is_due(firing: AlertFiring, reading: Reading | None, after: timedelta | None, now: datetime) -> bool:
    """Whether it is to be told again."""
    if after is None or reading is None or not reading.crosses:
        return False
    return (firing.told_at or firing.began_at) + after <= now


def _begun(
    readings: Readings, firing: Mapping[str, AlertFiring], earlier: Mapping[str, AlertFiring]
) -> Iterator[Decision]:
    for key, reading in readings.by_key.items():
        if key in firing or reading.value is None:
            continue
        last = None if reading.is_open else earlier.get(key)
        if reading.crosses and reading.is_news and (last is None or last.ended == BELOW):
            yield Decision(Step.BEGIN, key, reading, ended=None if reading.is_open else WINDOW)
        elif not reading.crosses and last is not None and last.ended != BELOW:
            # If it crosses again, by late data, that is a new crossing.
            yield Decision(Step.MARK, key, reading, last, BELOW)


def _why_over(readings: Readings, key: str, reading: Reading | None) -> AlertFiring.Ended | None:
    """None while it goes on, and while nothing is known."""
    if reading is None and readings.absent_is_below:
        return BELOW
    if reading is None:
        return WINDOW if readings.has_ended(key) else UNWATCHED
    if reading.value is not None and not reading.crosses:
        return BELOW
    return None if reading.is_open else WINDOW
