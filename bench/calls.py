"""`python -m bench.calls <provider's URL> <rounds> <measurement> …`: calls with and without recording, in turn.

Prints JSON: measurement → figure → its value in each round. Microseconds a call, but for `throughput`, a ratio.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import django
import openai

from bench import budgets
from bench.provider import CHUNKS

PLAIN: Any = {
    "model": "gpt-4.1-mini",
    "messages": [{"role": "user", "content": "How much does this call cost? " * 20}],
}
STREAM: Any = {**PLAIN, "stream": True}
ASKING: Any = {**STREAM, "stream_options": {"include_usage": True}}

THREADS = 16
WARM_UP = 50

Figures = dict[str, float]


@dataclass
class Sample:
    """Durations of one kind of client, call by call, in nanoseconds."""

    elapsed: list[int] = field(default_factory=list)
    first_chunk: list[int] = field(default_factory=list)
    cpu: int = 0


def added(bare: Sample, recording: Sample) -> Figures:
    """Return the time that recording adds to a call, in microseconds.

    p50 is the median difference of two neighbours, one with recording and one without: both had the same noise.
    """
    figures = {
        "bare": statistics.median(bare.elapsed),
        "p50": _median_of_pairs(bare.elapsed, recording.elapsed),
        "p99": _p99(recording.elapsed) - _p99(bare.elapsed),
        "cpu": (recording.cpu - bare.cpu) / len(bare.elapsed),
    }
    if bare.first_chunk:
        figures["first chunk"] = _median_of_pairs(bare.first_chunk, recording.first_chunk)
    return {name: nanoseconds / 1000 for name, nanoseconds in figures.items()}


def _median_of_pairs(bare: list[int], recording: list[int]) -> float:
    return statistics.median(with_ - without for without, with_ in zip(bare, recording, strict=True))


def _p99(values: list[int]) -> float:
    return statistics.quantiles(values, n=100)[98]


def plain(client: openai.OpenAI, sample: Sample) -> None:
    cpu, began = time.process_time_ns(), time.perf_counter_ns()
    client.chat.completions.create(**PLAIN)
    sample.elapsed.append(time.perf_counter_ns() - began)
    sample.cpu += time.process_time_ns() - cpu


def stream(client: openai.OpenAI, sample: Sample, options: Any = STREAM) -> None:
    cpu, began = time.process_time_ns(), time.perf_counter_ns()
    chunks = client.chat.completions.create(**options)
    next(chunks)
    sample.first_chunk.append(time.perf_counter_ns() - began)
    seen = 1 + sum(1 for _ in chunks)
    sample.elapsed.append(time.perf_counter_ns() - began)
    sample.cpu += time.process_time_ns() - cpu
    assert seen == CHUNKS + (options is ASKING)


def asking_stream(client: openai.OpenAI, sample: Sample) -> None:
    stream(client, sample, ASKING)


async def plain_async(client: openai.AsyncOpenAI, sample: Sample) -> None:
    cpu, began = time.process_time_ns(), time.perf_counter_ns()
    await client.chat.completions.create(**PLAIN)
    sample.elapsed.append(time.perf_counter_ns() - began)
    sample.cpu += time.process_time_ns() - cpu


def in_turn(call: Callable[[Any, Sample], None], calls: int, options: Any) -> Figures:
    """One call of each, one after the other, so that the machine's noise falls on both alike."""
    import ai_clients

    return _compared(openai.OpenAI(**options), ai_clients.OpenAI(**options), call, calls)


def in_turn_instrumented(call: Callable[[Any, Sample], None], calls: int, options: Any) -> Figures:
    """The same with `instrument()`: the official class records, and a subclass with the SDK's own method does not."""
    import ai_clients
    from ai_clients.instrumentation import uninstrument

    class Bare(openai.OpenAI):
        _build_request = openai.OpenAI._build_request

    ai_clients.instrument()
    try:
        return _compared(Bare(**options), openai.OpenAI(**options), call, calls)
    finally:
        uninstrument()


def _compared(
    bare: openai.OpenAI, recording: openai.OpenAI, call: Callable[[Any, Sample], None], calls: int
) -> Figures:
    clients = bare, recording
    for client in clients * WARM_UP:
        call(client, Sample())
    samples = Sample(), Sample()
    for which in turns(calls):
        call(clients[which], samples[which])
    return added(*samples)


def in_turn_async(call: Callable[[Any, Sample], Awaitable[None]], calls: int, options: Any) -> Figures:
    import ai_clients

    async def measure() -> Figures:
        async with openai.AsyncOpenAI(**options) as bare, ai_clients.AsyncOpenAI(**options) as recording:
            clients = bare, recording
            for client in clients * WARM_UP:
                await call(client, Sample())
            samples = Sample(), Sample()
            for which in turns(calls):
                await call(clients[which], samples[which])
            return added(*samples)

    return asyncio.run(measure())


def in_blocks(call: Callable[[Any, Sample], None], calls: int, options: Any) -> Figures:
    """Time blocks of calls, each with its draining: a thread's work falls on its own block."""
    import ai_clients

    clients = openai.OpenAI(**options), ai_clients.OpenAI(**options)
    samples = Sample(), Sample()
    for client in clients:
        _block(client, call, WARM_UP, Sample())
    for which in turns(calls // 100):
        _block(clients[which], call, 100, samples[which])
    return added(*samples)


def _block(client: Any, call: Callable[[Any, Sample], None], calls: int, sample: Sample) -> None:
    from usage_billing.recording import recorder

    cpu_of_calls = sample.cpu
    cpu = time.process_time_ns()
    for _ in range(calls):
        call(client, sample)
    deadline = time.monotonic() + 60
    while (waiting := recorder.outbox().backlog().events) and time.monotonic() < deadline:
        time.sleep(0.25)  # reading the backlog is work too, and not the recorder's
    assert waiting == 0
    sample.cpu = cpu_of_calls + time.process_time_ns() - cpu


def throughput(_call: Any, calls: int, options: Any) -> Figures:
    """Return the calls a second that many threads make with recording, as a ratio of those without."""
    import ai_clients

    clients = openai.OpenAI(**options), ai_clients.OpenAI(**options)
    spent = [0, 0]
    with ThreadPoolExecutor(THREADS) as threads:

        def block(client: openai.OpenAI) -> int:
            began = time.perf_counter_ns()
            for _ in threads.map(lambda _: plain(client, Sample()), range(THREADS * 10)):
                pass
            return time.perf_counter_ns() - began

        for client in clients:
            block(client)
        for which in turns(calls // (THREADS * 10)):
            spent[which] += block(clients[which])
    return {"ratio": spent[0] / spent[1]}


def turns(calls: int) -> Iterator[int]:
    """Yield 0 and 1, each `calls` times, each as often after itself as after the other."""
    for number in range(calls):
        yield from (0, 1) if number % 2 else (1, 0)


MEASUREMENTS: dict[str, tuple[Any, Any, int]] = {
    "plain": (in_turn, plain, 600),
    "instrument": (in_turn_instrumented, plain, 600),
    "stream": (in_turn, stream, 150),
    "asking stream": (in_turn, asking_stream, 150),
    "async": (in_turn_async, plain_async, 600),
    "thread": (in_blocks, plain, 600),
    "throughput": (throughput, None, 1600),
    "decision": (budgets.decisions, None, 0),
    "budget": (budgets.in_turn_under_a_budget, plain, 600),
}
"""Name → method, kind of call, and calls of each client in a round."""


def main() -> None:
    url, rounds, *names = sys.argv[1:]
    django.setup()
    options = {"api_key": "bench", "base_url": url, "max_retries": 0}
    figures: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in names}
    for number in range(int(rounds)):
        for name in names:
            sys.stderr.write(f"\rRound {number + 1} of {rounds}: {name} …\033[K")
            how, call, calls = MEASUREMENTS[name]
            for figure, value in how(call, calls, options).items():
                figures[name][figure].append(value)
    sys.stderr.write("\r\033[K")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
