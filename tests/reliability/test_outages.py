"""The database harms the drain: it is away, dies in a commit, cuts connections, refuses them, deadlocks."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import psycopg
import pytest

from tests.support.reliability.world import DRAIN, Figures, Site, kill_postgres, times, wait_until

pytestmark = pytest.mark.postgres

CALLS = times(40, 2000)


def test_stopped_for_the_whole_load(site: Site, record_property: Figures) -> None:
    site.server.stop("immediate")
    drain = site.drain()
    caller = site.caller(CALLS, threads=4)
    caller.join()
    assert caller.exitcode == 0
    assert len(site.account.answers()) == 4 * CALLS
    assert drain.is_alive()

    site.server.start_again()
    wait_until(lambda: len(site.rows()) == 4 * CALLS)
    record_property("figures", site.expect_every_call_once())


@pytest.fixture
def slow_commit(site: Site) -> Iterator[None]:
    """A commit of this test's organisation takes seconds: a trigger that runs in it sleeps."""
    site.sql(
        "CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'"
    )
    site.sql(
        "CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON token_usage DEFERRABLE INITIALLY DEFERRED"
        f" FOR EACH ROW WHEN (NEW.org_id = {site.org}) EXECUTE FUNCTION slow_commit()"
    )
    yield
    site.sql("DROP FUNCTION IF EXISTS slow_commit CASCADE")


def test_killed_in_the_middle_of_a_commit(site: Site, slow_commit: None, record_property: Figures) -> None:
    site.caller(CALLS).join()
    drain = psutil.Process(site.drain().pid)
    wait_until(lambda: site.sql("SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'PgSleep'"))
    # A drain that comes back before the trigger is dropped sleeps again, and holds the lock that the drop waits for.
    drain.suspend()
    kill_postgres(site.server)
    site.server.start_again()
    assert site.rows() == {}
    site.sql("DROP FUNCTION slow_commit CASCADE")
    drain.resume()
    wait_until(lambda: len(site.rows()) == CALLS)
    record_property("figures", site.expect_every_call_once())


def test_connections_that_are_cut(site: Site, record_property: Figures) -> None:
    site.drain()
    caller = site.caller(CALLS, threads=2, pause_s=0.01)
    cut = 0
    while caller.is_alive():
        cut += len(site.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{DRAIN}'"))
        caller.join(0.1)
    assert cut > 0
    record_property("figures", f"connections cut {cut}; " + site.expect_every_call_once())


def test_too_many_connections(site: Site, record_property: Figures) -> None:
    site.sql(f"ALTER ROLE {DRAIN} CONNECTION LIMIT 0")
    try:
        site.drain()
        site.caller(CALLS, threads=4).join()
        wait_until(lambda: "too many connections" in (site.folder / "drain.log").read_text())
        assert site.rows() == {}
    finally:
        site.sql(f"ALTER ROLE {DRAIN} CONNECTION LIMIT -1")
    wait_until(lambda: len(site.rows()) == 4 * CALLS)
    record_property("figures", site.expect_every_call_once())


def test_a_deadlock(site: Site, record_property: Figures) -> None:
    """Another session locks rollup rows in another order than the drain, and waits longer for the drain's lock."""
    site.caller(CALLS).join()
    site.complete()
    site.caller(CALLS).join()
    by_key = (
        "SELECT ctid FROM token_usage_daily WHERE org_id = %s ORDER BY grain {0}, agent_id {0}, ai_provider {0},"
        " ai_model {0}, status {0} LIMIT 1 FOR UPDATE"
    )
    with psycopg.connect(site.server.url) as other:
        other.execute("SET deadlock_timeout = '60s'")
        other.execute(by_key.format("DESC").encode(), [site.org])
        site.drain()
        wait_until(
            lambda: site.sql(f"SELECT 1 FROM pg_stat_activity WHERE usename = '{DRAIN}' AND wait_event_type = 'Lock'")
        )
        other.execute(
            by_key.format("ASC").encode(), [site.org]
        )  # the drain holds this lock; one of the two must give up
        other.rollback()
    wait_until(lambda: "deadlock detected" in (site.folder / "drain.log").read_text())
    record_property("figures", site.expect_every_call_once())
