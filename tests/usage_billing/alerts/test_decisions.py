"""What begins, goes on and ends: without a database."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.support.factories import NOON
from usage_billing.alerts.decisions import Decision, Step, decide
from usage_billing.alerts.readings import Reading, Readings, at_least
from usage_billing.models import AlertFiring
from usage_billing.models.alert import AlertFiring as Firing

NOVEMBER, OCTOBER = "2026-11-01/80", "2026-10-01/80"
WINDOWS = frozenset(["2026-11-01"])
BELOW, WINDOW, UNWATCHED = Firing.Ended.BELOW, Firing.Ended.WINDOW, Firing.Ended.UNWATCHED


def reading(value: str | None, *, is_open: bool = True) -> Reading:
    if value is None:
        return Reading(None, Decimal(80), crosses=False, is_open=is_open)
    return at_least(Decimal(value), Decimal(80), is_open=is_open)


def steps(
    readings: dict[str, Reading],
    firing: list[str] | None = None,
    earlier: dict[str, Firing.Ended] | None = None,
    renotify: int | None = None,
    told_ago: int = 0,
) -> list[tuple[Step, str, object]]:
    told = NOON - timedelta(hours=told_ago)
    open_ = {key: AlertFiring(key=key, bound=80, began_at=told, told_at=told) for key in firing or []}
    over = {key: AlertFiring(key=key, bound=80, ended=ended) for key, ended in (earlier or {}).items()}
    after = None if renotify is None else timedelta(hours=renotify)
    found: list[Decision] = decide(Readings(readings, WINDOWS), open_, over, renotify_after=after, now=NOON)
    return [(each.step, each.key, each.ended) for each in found]


def test_a_crossing_begins_once_and_ends_when_it_is_below() -> None:
    assert steps({NOVEMBER: reading("79.99")}) == []
    assert steps({NOVEMBER: reading("80")}) == [(Step.BEGIN, NOVEMBER, None)]
    assert steps({NOVEMBER: reading("90")}, [NOVEMBER]) == []
    assert steps({NOVEMBER: reading("70")}, [NOVEMBER]) == [(Step.END, NOVEMBER, BELOW)]


def test_an_unknown_value_changes_nothing() -> None:
    assert steps({NOVEMBER: reading(None)}) == []
    assert steps({NOVEMBER: reading(None)}, [NOVEMBER]) == []


def test_nothing_spent_never_crosses() -> None:
    assert not at_least(Decimal(0), Decimal(0)).crosses


def test_an_alert_ends_with_its_window_though_the_value_stays() -> None:
    assert steps({OCTOBER: reading("90", is_open=False)}, [OCTOBER]) == [(Step.END, OCTOBER, WINDOW)]
    # Nobody has evaluated for two months.
    assert steps({}, ["2026-08-01/80"]) == [(Step.END, "2026-08-01/80", WINDOW)]


def test_a_share_that_is_watched_no_more_ends() -> None:
    assert steps({}, ["2026-11-01/50"]) == [(Step.END, "2026-11-01/50", UNWATCHED)]


def test_a_crossing_in_a_window_that_is_over_is_told_once() -> None:
    late = {OCTOBER: reading("90", is_open=False)}
    assert steps(late) == [(Step.BEGIN, OCTOBER, WINDOW)]
    assert steps(late, earlier={OCTOBER: WINDOW}) == []
    assert steps(late, earlier={OCTOBER: UNWATCHED}) == []
    # It was below its bound when its window ended, and late data crosses it again.
    assert steps(late, earlier={OCTOBER: BELOW}) == [(Step.BEGIN, OCTOBER, WINDOW)]


def test_repricing_of_a_window_that_is_over_makes_the_next_crossing_a_new_one() -> None:
    low = {OCTOBER: reading("10", is_open=False)}
    assert steps(low, earlier={OCTOBER: WINDOW}) == [(Step.MARK, OCTOBER, BELOW)]
    assert steps(low, earlier={OCTOBER: BELOW}) == []


@pytest.mark.parametrize(("told_ago", "is_reminded"), [(0, False), (5, False), (6, True), (30, True)])
def test_it_is_told_again_after_the_hours_of_the_rule(told_ago: int, is_reminded: bool) -> None:
    found = steps({NOVEMBER: reading("90")}, [NOVEMBER], renotify=6, told_ago=told_ago)
    assert found == ([(Step.REMIND, NOVEMBER, None)] if is_reminded else [])
    assert steps({NOVEMBER: reading("90")}, [NOVEMBER], renotify=None, told_ago=told_ago) == []
