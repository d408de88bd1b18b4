"""`make bench`: the figures of this project, measured here and now, each beside its limit."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

from bench import drains, growth, ingest, large_answers, otlp, overhead, reading, repairing, writing
from bench.table import Section, render

SECTIONS: dict[str, Callable[[int], Section]] = {
    "overhead": overhead.section,
    "large_answers": large_answers.section,
    "reading": reading.section,
    "growth": growth.section,
    "writing": writing.section,
    "drains": drains.section,
    "repairing": repairing.section,
    "ingest": ingest.section,
    "otlp": otlp.section,
}
"""Name → what measures it in so many rounds. One module each."""

RESULTS = Path("var/bench.txt")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}; all without")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement; the median counts")
    options = parser.parse_args()
    if unknown := set(options.sections) - SECTIONS.keys():
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    began = time.monotonic()
    sections = [SECTIONS[name](options.rounds) for name in options.sections or SECTIONS]
    report = f"{_machine()}; {options.rounds} rounds in {time.monotonic() - began:.0f} s\n{render(sections)}\n"
    print(report)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(report)
    print(f"Written to {RESULTS}.")


def _machine() -> str:
    machine = f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    return f"{machine}; {platform.platform()}; Python {platform.python_version()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
