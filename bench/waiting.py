"""`python -m bench.waiting`: a writer that inserts a call, waits 50 ms, and inserts the next.

Prints, for each line that it reads, how long the slowest has taken since the line before: milliseconds, as JSON.
"""

from __future__ import annotations

import itertools
import json
import select
import sys
import time

import django

PAUSE_S = 0.05


def main() -> None:
    django.setup()
    from bench.writer import events
    from usage_billing.ledger import writer

    longest = 0.0
    for event in itertools.chain.from_iterable(events(1000) for _ in itertools.count()):
        began = time.perf_counter()
        assert writer.add([event]) == 1
        longest = max(longest, time.perf_counter() - began)
        if select.select([sys.stdin], [], [], PAUSE_S)[0]:
            if not sys.stdin.readline():
                return
            print(json.dumps({"longest": longest * 1000}), flush=True)
            longest = 0.0


if __name__ == "__main__":
    main()
