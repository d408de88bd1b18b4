"""Which tags have rollup rows of their own: the bound on keys and values, for one writer and for several at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models import Sum

from tests.support import factories
from tests.support.rows import row
from usage_billing.ledger import consistency, tag_values, writer
from usage_billing.models import DailyTagUsage, Organization, TagValue, UsageRecord
from usage_billing.models.daily_tag_usage import OTHER_VALUE

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_values, "VALUES_PER_KEY", 3)
    monkeypatch.setattr(tag_values, "KEYS_PER_ORGANIZATION", 2)


def insert(org: Organization, *tags: dict[str, str]) -> None:
    assert writer.insert([row(org, tags=each) for each in tags]) == len(tags)


def counts(key: str, **lookup: Any) -> dict[str, int]:
    """Return the number of calls by value."""
    rows = DailyTagUsage.objects.filter(grain="org_tag", tag_key=key, **lookup).values_list("tag_value")
    return dict(rows.annotate(Sum("requests_count")))


def assert_equal() -> None:
    days = consistency.days()
    assert [difference for day in days for difference in consistency.differences(day)] == []


def test_further_values_count_as_other_for_good() -> None:
    org = factories.organization()
    insert(org, *({"customer": str(number)} for number in range(5)))
    assert counts("customer") == {"0": 1, "1": 1, "2": 1, OTHER_VALUE: 2}
    insert(org, {"customer": "4"}, {"customer": "1"})
    assert counts("customer") == {"0": 1, "1": 2, "2": 1, OTHER_VALUE: 3}
    assert TagValue.objects.count() == 3
    assert UsageRecord.objects.filter(tags__customer="4").count() == 2  # the call keeps its value
    assert_equal()


def test_further_keys_are_kept_by_the_call_alone() -> None:
    org = factories.organization()
    insert(org, {"a": "1", "b": "1", "c": "1"}, {"c": "1"}, {"b": "2"})
    assert {key: counts(key) for key in "abc"} == {"a": {"1": 1}, "b": {"1": 1, "2": 1}, "c": {}}
    assert UsageRecord.objects.filter(tags__c="1").count() == 2
    assert_equal()


def test_each_organisation_has_its_own_bound() -> None:
    one, other = factories.organization(), factories.organization()
    for org in (one, other):
        insert(org, *({"customer": f"{org.pk}-{number}"} for number in range(4)))
    assert TagValue.objects.filter(org=one).count() == TagValue.objects.filter(org=other).count() == 3
    assert_equal()


def test_known_tags_need_one_query_and_no_tags_none(django_assert_num_queries: Any) -> None:
    org = factories.organization()
    tagged = [row(org, tags={"env": "prod"})]
    assert tag_values.registered(tagged) == {(org.pk, "env", "prod"): "prod"}
    with django_assert_num_queries(1):
        assert tag_values.registered(tagged) == {(org.pk, "env", "prod"): "prod"}
    with django_assert_num_queries(0):
        assert tag_values.registered([row(org)]) == tag_values.counted([row(org)]) == {}


def test_a_value_of_a_call_that_is_not_inserted_after_all_is_not_registered() -> None:
    org = factories.organization()
    broken = row(org, tags={"env": "prod"}, total_tokens=-1)
    with pytest.raises(Exception, match="token_usage_tokens"):  # the check of the table
        writer.insert([broken])
    assert not TagValue.objects.exists()


@pytest.fixture
def several_connections(transactional_db: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")


def test_two_writers_at_once_stay_within_the_bound_and_equal(several_connections: None) -> None:
    """Each has values that the other has too, in other orders, and more of them than the bound."""
    org = factories.organization()
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def write(first: int) -> None:
        try:
            start.wait(30)
            for number in range(6):
                insert(org, *({"customer": str((first + number + each) % 8), "k": str(first)} for each in (0, 3)))
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert TagValue.objects.filter(tag_key="customer").count() == 3
    assert sum(counts("customer").values()) == UsageRecord.objects.count() == 48
    assert_equal()


def test_a_writer_that_registers_waits_for_one_that_does(several_connections: None) -> None:
    """The last place is given once: the second writer counts again when the first has committed."""
    org = factories.organization()
    insert(org, {"customer": "0"}, {"customer": "1"})
    locked, done = threading.Event(), threading.Event()

    def first() -> None:
        try:
            with transaction.atomic():
                writer.insert([row(org, tags={"customer": "first"})])
                locked.set()
                assert not done.wait(0.5)  # the second one waits for this transaction
        finally:
            connections.close_all()

    thread = threading.Thread(target=first)
    thread.start()
    assert locked.wait(30)
    insert(org, {"customer": "second"})
    done.set()
    thread.join(30)
    assert counts("customer") == {"0": 1, "1": 1, "first": 1, OTHER_VALUE: 1}
    assert_equal()
