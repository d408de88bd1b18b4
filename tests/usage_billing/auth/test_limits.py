"""Counts that hold over threads and processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connections

from usage_billing.auth.limits import (
    LONGEST_ATTEMPT,
    UNDER_WAY_S,
    Limit,
    begin,
    digest,
    fail,
    give_back,
    take,
)
from usage_billing.models import ThrottleCount

MINUTE = timedelta(minutes=1)
A, B, ALL = Limit("a", 2, MINUTE), Limit("b", 2, MINUTE), Limit("all", 3, 10 * MINUTE)


class Clock:
    moment = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


@pytest.fixture
def clock(db: None, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("django.utils.timezone.now", clock)
    return clock


def test_an_attempt_counts_towards_all_of_its_limits_or_none(clock: Clock) -> None:
    assert [take(A, ALL), take(A, ALL), take(A, ALL)] == [0, 0, 60]
    assert [take(B, ALL), take(B, ALL)] == [0, 600]
    assert take(B) == 0


def test_wait_ends_when_the_oldest_attempt_is_over(clock: Clock) -> None:
    for _ in range(2):
        take(A)
        clock.moment += timedelta(seconds=20)
    assert take(A) == 20
    clock.moment += timedelta(seconds=20)
    assert [take(A), take(A)] == [0, 20]


def test_what_is_given_back_counts_towards_none(clock: Clock) -> None:
    take(B, ALL)
    clock.moment += timedelta(seconds=1)
    take(A, ALL)
    take(A, ALL)
    assert take(ALL) == 599
    give_back(A, ALL)
    assert {count.key: len(count.moments) for count in ThrottleCount.objects.all()} == {"a": 0, "all": 1, "b": 1}
    assert [take(A, ALL), take(A, ALL)] == [0, 0]


def test_attempts_under_way_hold_others_up_for_a_moment_alone(clock: Clock) -> None:
    assert [begin(A, ALL), begin(A, ALL), begin(A, ALL)] == [0, 0, UNDER_WAY_S]
    give_back(A, ALL)
    assert [begin(A, ALL), begin(A, ALL)] == [0, UNDER_WAY_S]
    assert [fail(A, ALL), fail(A, ALL)] == [0, 60]
    assert begin(A, ALL) == 60
    assert {count.key: (len(count.moments), len(count.under_way)) for count in ThrottleCount.objects.all()} == {
        "a": (2, 0),
        "all": (2, 0),
    }


def test_an_attempt_whose_process_died_has_failed(clock: Clock) -> None:
    begin(A)
    begin(A)
    clock.moment += LONGEST_ATTEMPT
    assert begin(A) == 30
    give_back(A)
    assert begin(A) == 0


def test_counts_that_are_over_are_cleared(clock: Clock) -> None:
    take(A)
    take(ALL)
    clock.moment += timedelta(minutes=5)
    call_command("clearsessions")
    assert [count.key for count in ThrottleCount.objects.all()] == ["all"]


def test_a_digest_is_of_any_text_and_tells_nothing_of_it() -> None:
    texts = ["", "alice", "\x00", "\ud800", "a" * 100_000]
    assert len({digest(text) for text in texts}) == len(texts)
    assert {len(digest(text)) for text in texts} == {64}


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_exactly_as_many_pass_as_may() -> None:
    """In whichever order they name their limits."""

    def attempt(number: int) -> int:
        limits = [Limit("one", 7, MINUTE), Limit("other", 9, MINUTE)]
        try:
            return take(*(limits if number % 2 else reversed(limits)))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as threads:
        waits = sorted(threads.map(attempt, range(20)))
    assert waits[:8] == [0] * 7 + [waits[7]]
    assert waits[7] > 0
    assert sorted(len(count.moments) for count in ThrottleCount.objects.all()) == [7, 7]
