"""`distribute` and `undistribute` where there is no Citus: they say what is missing, and change nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support import factories
from tests.support.factories import event
from tests.support.other_drain import other_drain
from usage_billing.ledger import writer
from usage_billing.management.cluster_command import alone
from usage_billing.models import UsageRecord
from usage_billing.recording.outbox import Outbox
from usage_billing.tenancy import distribution
from usage_billing.tenancy.cluster_checks import cluster_is_sound

ON_SQLITE = pytest.mark.skipif(connection.vendor != "sqlite", reason="the ledger is not in SQLite")


@ON_SQLITE
@pytest.mark.django_db
@pytest.mark.parametrize("command", [["distribute", "--dry-run"], ["distribute"], ["undistribute"]], ids=" ".join)
def test_sqlite_stays_on_one_machine(command: list[str]) -> None:
    with pytest.raises(CommandError, match=r"in SQLite, which stays on one machine\. Only PostgreSQL.*docs/scale\.md"):
        call_command(*command)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("command", [["distribute", "--dry-run"], ["distribute"]], ids=" ".join)
def test_one_postgresql_is_told_what_is_missing(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    with pytest.raises(CommandError, match="cannot be distributed yet; what is missing is told above"):
        call_command(*command)
    printed = capsys.readouterr()
    assert printed.out == ""
    what, remedy = printed.err.splitlines()
    assert what.startswith("This is one PostgreSQL ")
    for step in ("install Citus 14", "shared_preload_libraries = 'citus'", "CREATE EXTENSION citus", "citus_add_node"):
        assert step in remedy
    assert not distribution.is_distributed()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_undistribute_changes_nothing_on_one_postgresql(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("undistribute")
    assert capsys.readouterr().out == "The ledger is not distributed. Nothing was changed.\n"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("shards", ["0", "-1", "5000"])
def test_a_number_of_shards_that_cannot_be(shards: str) -> None:
    with pytest.raises(CommandError, match=f"--shards {shards} is not between 1 and 1024"):
        call_command("distribute", f"--shards={shards}")


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_it_refuses_while_another_process_of_this_machine_drains(outbox: Outbox) -> None:
    outbox.append(b"")
    busy = pytest.raises(CommandError, match=r"is draining .*Stop it first; calls wait in the outbox")
    with other_drain(outbox.path), busy, alone():
        pass
    with alone():
        pass


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_it_refuses_while_a_connection_is_open_that_writes_and_no_other_one_writes_meanwhile() -> None:
    org = factories.organization()

    def write() -> None:
        writer.add([event(org=org)])

    def elsewhere(work: Callable[[], None]) -> threading.Thread:
        """Write over another connection, as a drain of another machine would."""

        def run() -> None:
            distribution.is_distributed()
            work()
            connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    write()
    with alone():
        pass  # this very connection is no reason to refuse
    is_connected, may_end = threading.Event(), threading.Event()

    def wait() -> None:
        is_connected.set()
        may_end.wait(60)

    other = elsewhere(wait)
    is_connected.wait(60)
    with pytest.raises(CommandError, match=r"Other processes write the ledger.*\(process \d+, from "), alone():
        pass
    ends = threading.Timer(0.3, may_end.set)
    ends.start()
    with alone():  # waits for a connection that closes
        assert may_end.is_set()
        other.join()
        other = elsewhere(write)
        other.join(0.3)
        assert other.is_alive()
        assert UsageRecord.objects.count() == 1
    other.join()
    ends.join()
    assert UsageRecord.objects.count() == 2


@pytest.mark.django_db
def test_the_checks_of_a_cluster_find_nothing_without_one() -> None:
    assert cluster_is_sound(databases=["default"]) == []


@pytest.mark.django_db
def test_a_connection_asks_once_whether_the_ledger_is_distributed() -> None:
    assert not distribution.is_distributed()
    with CaptureQueriesContext(connection) as queries:
        distribution.begin_write()
        distribution.begin_comparison()
        assert not distribution.is_distributed()
    assert queries.captured_queries == []
