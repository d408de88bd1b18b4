"""`python -m bench.large_call <URL> <kind> <official | recording> <calls>`: large calls, in a process of its own.

Prints JSON: `seconds` of CPU time that a call took, `waited` for it, and `megabytes` of memory that the process
took more at its highest point.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import django
import openai

from bench.calls import PLAIN, STREAM

MIB = 2**20


def call(client: openai.OpenAI, kind: str) -> int:
    """The number of characters of the answer."""
    options: Any = PLAIN if kind == "json" else STREAM
    answer: Any = client.chat.completions.create(**options)
    if kind == "json":
        return len(answer.choices[0].message.content)
    return sum(len(chunk.choices[0].delta.content or "") for chunk in answer)


def _memory() -> int:
    """Bytes of memory that this process takes now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main() -> None:
    url, kind, which, calls = sys.argv[1:]
    django.setup()
    import ai_clients

    make = {"official": openai.OpenAI, "recording": ai_clients.OpenAI}[which]
    client = make(api_key="bench", base_url=url, max_retries=0, timeout=600)
    warm_up = client.with_options(base_url=f"{url.rsplit('/', 3)[0]}/{kind}/0/identity")
    for _ in range(3):
        call(warm_up, kind)
    # The peak is measured from here on (Linux: `man 5 proc`, clear_refs).
    Path("/proc/self/clear_refs").write_text("5")
    before, began, cpu = _memory(), time.perf_counter(), time.process_time()
    for _ in range(int(calls)):
        assert call(client, kind) > 0
    seconds, waited = ((time.process_time() - cpu) / int(calls), (time.perf_counter() - began) / int(calls))
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"seconds": seconds, "waited": waited, "megabytes": (int(peak.split()[1]) * 1024 - before) / MIB}))


if __name__ == "__main__":
    main()
