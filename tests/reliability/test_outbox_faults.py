"""The disk, the clock and other processes harm the outbox. Callers still get every answer."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.support.reliability.caller import make_calls
from tests.support.reliability.world import Figures, Site, follow, times, wait_until
from usage_billing.recording import journal, quarantine, state_files
from usage_billing.recording.outbox import Outbox

pytestmark = pytest.mark.postgres

CALLS = times(40, 1000)


@pytest.fixture
def small_disk(site: Site) -> Iterator[Path]:
    """A file system of its own for the outbox, of 24 megabytes."""
    folder = site.outbox.parent
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"needs the right to mount: {made.stderr.strip()}")
    yield folder
    site.end()
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def lost(site: Site) -> int:
    return sum(calls for calls, _ in state_files.losses(site.outbox).read().values())


def test_a_full_disk_loses_only_the_calls_it_counts(site: Site, small_disk: Path, record_property: Figures) -> None:
    site.caller(CALLS, threads=2).join()
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        fill_up(filler)
    during = site.caller(CALLS, threads=2)
    during.join()
    assert during.exitcode == 0
    counted = lost(site)
    assert counted > 0

    filler.unlink()
    site.caller(CALLS, threads=2).join()
    assert len(site.account.answers()) == 6 * CALLS
    figures = site.expect_every_call_once(counted_lost=counted)
    record_property("figures", f"not kept and counted {counted}; {figures}")


def test_a_disk_that_turns_read_only(site: Site, small_disk: Path, record_property: Figures) -> None:
    """Nothing can be written, not even the count of losses: the process says it in its log."""
    site.caller(CALLS).join()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    program = (
        "import os, sys; from pathlib import Path; import django; django.setup()\n"
        "from tests.support.reliability.caller import make_calls\n"
        f"make_calls(Path(sys.argv[1]), int(sys.argv[2]), {CALLS})\n"
    )
    printed = site.run("-c", program, str(site.account.folder), str(site.org))
    assert printed.count("could not be recorded (") == 1
    assert f"{CALLS} AI calls could not be recorded by this process" in printed
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    site.caller(CALLS).join()
    record_property("figures", site.expect_every_call_once(counted_lost=CALLS))


def test_damage_inside_a_journal_costs_what_it_hit_and_no_more(site: Site, record_property: Figures) -> None:
    site.caller(CALLS, threads=2).join()
    waiting = Outbox(site.outbox).backlog().events
    (path,) = journal.paths(site.outbox)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(6000))

    site.drain()
    site.caller(CALLS, threads=2).join()
    wait_until(lambda: Outbox(site.outbox).backlog().events == 0)
    assert len(site.account.answers()) == 4 * CALLS
    site.complete()
    missing = 4 * CALLS - len(site.rows())
    assert 0 < missing < waiting / 2
    rejected = Outbox(site.outbox).list_rejected(10)
    assert sum(len(letter.body) for letter in rejected) >= 6000
    assert quarantine.quarantined(site.outbox) == []
    record_property("figures", f"of {waiting}: " + site.expect_every_call_once(counted_lost=missing))


def test_a_journal_that_cannot_be_read_is_quarantined_and_recovered(site: Site, record_property: Figures) -> None:
    site.caller(CALLS, threads=2).join()
    (path,) = journal.paths(site.outbox)
    with path.open("r+b") as file:
        file.write(os.urandom(journal.HEADER_BYTES))

    site.drain()
    site.caller(CALLS, threads=2).join()
    wait_until(lambda: quarantine.quarantined(site.outbox))
    (kept,) = quarantine.quarantined(site.outbox)
    assert len(site.account.answers()) == 4 * CALLS
    wait_until(lambda: Outbox(site.outbox).backlog().events == 0)
    assert len(site.rows()) == 2 * CALLS
    # The command fails, for another process drains; the events are in its outbox.
    printed = site.manage("drain_usage", "--recover", str(kept), fails=True)
    assert f"Recovered {2 * CALLS} events" in printed
    record_property("figures", site.expect_every_call_once())


def test_a_file_that_is_no_outbox(site: Site, record_property: Figures) -> None:
    site.outbox.parent.mkdir()
    site.outbox.write_bytes(b"This is no outbox. " * 1000)
    site.caller(CALLS, threads=2).join()
    site.complete()
    (kept,) = quarantine.quarantined(site.outbox)
    assert kept.read_bytes().startswith(b"This is no outbox.")
    record_property("figures", site.expect_every_call_once())


def calls_while_the_clock_goes_back(account: Path, org: int, calls: int) -> None:
    make_calls(account, org, calls)
    real = time.time
    time.time = lambda: real() - 90_000
    make_calls(account, org, calls)


def test_a_clock_that_is_set_back(site: Site, record_property: Figures) -> None:
    site.drain()
    site.fork(calls_while_the_clock_goes_back, site.account.folder, site.org, CALLS).join()
    assert len(site.account.answers()) == 2 * CALLS
    figures = site.expect_every_call_once()
    (days,) = site.sql(
        "SELECT count(DISTINCT usage_date), min(execution_time_ms) FROM token_usage WHERE org_id = %s", site.org
    )
    assert days[0] == 2
    assert days[1] >= 0
    record_property("figures", figures)


def drain_against_the_lock(path: Path) -> None:
    """Drain as on a file system without locks."""
    from usage_billing.ledger import drain

    with patch.object(drain, "exclusively", lambda _path: nullcontext()):
        follow(path)


def test_two_processes_that_drain_one_outbox_at_once(site: Site, record_property: Figures) -> None:
    log = site.folder / "drain.log"
    drains = [site.fork(drain_against_the_lock, log) for _ in range(2)]
    site.caller(CALLS, threads=4).join()
    wait_until(lambda: len(site.rows()) == 4 * CALLS)
    assert all(drain.is_alive() for drain in drains)
    record_property("figures", site.expect_every_call_once())


def test_a_second_drain_waits_and_takes_over(site: Site, record_property: Figures) -> None:
    first = site.drain()
    site.caller(CALLS).join()
    wait_until(lambda: len(site.rows()) == CALLS)
    site.drain()
    wait_until(lambda: "Waiting to take over" in (site.folder / "drain.log").read_text())
    first.kill()
    first.join()
    site.caller(CALLS).join()
    wait_until(lambda: len(site.rows()) == 2 * CALLS)
    record_property("figures", site.expect_every_call_once())


def test_fifty_threads_of_four_processes_write_into_one_outbox(site: Site, record_property: Figures) -> None:
    site.drain()
    callers = [site.caller(times(4, 100), threads=50) for _ in range(4)]
    for caller in callers:
        caller.join()
        assert caller.exitcode == 0
    assert len(site.account.answers()) == 200 * times(4, 100)
    assert lost(site) == 0
    record_property("figures", site.expect_every_call_once())
