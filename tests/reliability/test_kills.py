"""SIGKILL at random moments, under load: of the calling process, of the drain, of PostgreSQL itself."""

from __future__ import annotations

import signal

import pytest

from tests.support.reliability.world import Figures, Site, a_while, kill_postgres, times, wait_until

pytestmark = pytest.mark.postgres

KILLS = times(6, 200)


def wait_for_calls(site: Site, more: int) -> None:
    begun = site.account.begun()
    wait_until(lambda: site.account.begun() >= begun + more)


def wait_for_answer(site: Site) -> None:
    answered = len(site.account.answers())
    wait_until(lambda: len(site.account.answers()) > answered)


def wait_for_rows(site: Site) -> None:
    recorded = len(site.rows())
    wait_until(lambda: len(site.rows()) > recorded)


def test_callers_that_are_killed(site: Site, record_property: Figures) -> None:
    threads = 4
    site.drain()
    for _ in range(KILLS):
        caller = site.caller(calls=100_000, threads=threads)
        wait_for_answer(site)
        a_while()
        caller.kill()
        caller.join()
        assert caller.exitcode == -signal.SIGKILL
    assert len(site.account.answers()) >= KILLS
    record_property("figures", f"killed {KILLS}; " + site.expect_every_call_once(under_way=KILLS * threads))


def test_a_drain_that_is_killed(site: Site, record_property: Figures) -> None:
    caller = site.caller(calls=100_000, threads=2, pause_s=0.01)
    for _ in range(KILLS):
        drain = site.drain()
        wait_for_calls(site, 5)
        a_while()
        drain.kill()
        drain.join()
        assert drain.exitcode == -signal.SIGKILL
    caller.kill()
    caller.join()
    record_property("figures", f"killed {KILLS}; " + site.expect_every_call_once(under_way=2))


def test_a_postgresql_that_is_killed(site: Site, record_property: Figures) -> None:
    site.drain()
    caller = site.caller(calls=100_000, threads=2, pause_s=0.01)
    kills = times(3, 200)
    for _ in range(kills):
        wait_for_rows(site)
        a_while()
        kill_postgres(site.server)
        a_while()
        site.server.start_again()
    assert caller.is_alive()
    caller.kill()
    caller.join()
    record_property("figures", f"killed {kills}; " + site.expect_every_call_once(under_way=2))
