"""`python -m tests.support.reliability.soak [--minutes 60] [--calls-a-second 100]`: watches memory and file handles.

One process calls the simulator and another one drains into PostgreSQL. Both are sampled every few seconds; a line is
printed every five minutes. At the end it compares the first and the last quarter, and proves that every call is
recorded once. It exits with 1 if memory or handles have grown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from tests.support.reliability import world
from tests.support.reliability.caller import make_calls
from tests.support.reliability.world import Site

SAMPLE_S = 5
SAMPLES_A_LINE = 60
WARM_UP = 0.2
"""The share of the time at the start in which caches fill and the allocator grows; it is not compared."""
GROWTH_MB, GROWTH_HANDLES = 6.0, 4.0
THREADS = 8


@dataclass(frozen=True)
class Sample:
    memory_mb: float
    handles: float
    outbox_mb: float


def sample(process: psutil.Process, site: Site) -> Sample:
    outbox = sum(path.stat().st_size for path in site.outbox.parent.iterdir()) if site.outbox.parent.exists() else 0
    return Sample(process.memory_info().rss / 2**20, process.num_fds(), outbox / 2**20)


def mean(samples: list[Sample]) -> Sample:
    return Sample(
        *(statistics.fmean(getattr(each, name) for each in samples) for name in ("memory_mb", "handles", "outbox_mb"))
    )


def soak(site: Site, minutes: float, calls_a_second: float) -> bool:
    calls = round(minutes * 60 * calls_a_second / THREADS)
    drain = site.drain()
    caller = site.fork(make_calls, site.account.folder, site.org, calls, THREADS, THREADS / calls_a_second)
    processes = {"caller": psutil.Process(caller.pid), "drain": psutil.Process(drain.pid)}
    taken: dict[str, list[Sample]] = {name: [] for name in processes}
    cpu_before, began = processes["drain"].cpu_times(), time.monotonic()
    while caller.is_alive():
        for name, process in processes.items():
            taken[name].append(sample(process, site))
        if not len(taken["drain"]) % SAMPLES_A_LINE:
            now = ", ".join(f"{name} {samples[-1].memory_mb:.1f} MB" for name, samples in taken.items())
            print(f"{(time.monotonic() - began) / 60:.0f} min: {now}", flush=True)
        caller.join(SAMPLE_S)
    cpu = sum(processes["drain"].cpu_times()[:2]) - sum(cpu_before[:2])
    is_flat = caller.exitcode == 0
    assert len(site.rows()) > calls, "the drain did not keep up, or does not drain at all"
    for name, samples in taken.items():
        samples = samples[round(len(samples) * WARM_UP) : -1]
        quarter = max(1, len(samples) // 4)
        first, last = mean(samples[:quarter]), mean(samples[-quarter:])
        is_flat &= last.memory_mb - first.memory_mb < GROWTH_MB and last.handles - first.handles < GROWTH_HANDLES
        print(
            f"{name:>6}: memory {first.memory_mb:.1f} → {last.memory_mb:.1f} MB, handles {first.handles:.1f} → "
            f"{last.handles:.1f}; outbox {first.outbox_mb:.2f} → {last.outbox_mb:.2f} MB ({len(samples)} samples)"
        )
    print(f" drain: {cpu / (time.monotonic() - began):.2%} of a CPU under load")
    before, since = sum(processes["drain"].cpu_times()[:2]), time.monotonic()
    time.sleep(20)
    idle = (sum(processes["drain"].cpu_times()[:2]) - before) / (time.monotonic() - since)
    print(f" drain: {idle:.2%} of a CPU idle")
    print(f"  {site.expect_every_call_once()}")
    return is_flat


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.reliability.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--calls-a-second", type=float, default=100)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        world.production() as (server, url),
        world.simulator() as origin,
    ):
        with psycopg.connect(server.url, autocommit=True) as connection:
            (org,) = connection.execute(
                "INSERT INTO usage_organization (name, slug, timezone, language, created_at)"
                " VALUES ('Soak', 'soak', 'Europe/Moscow', 'ru', now()) RETURNING id"
            ).fetchone() or (0,)
        os.environ["DATABASE_URL"] = url  # for the fork server, which the first process starts
        site = Site(server, url, origin, Path(folder), org)
        try:
            is_flat = soak(site, options.minutes, options.calls_a_second)
        finally:
            site.end()
    print("Flat." if is_flat else "It has grown.")
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
