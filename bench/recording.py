"""What recording adds to one SDK call: official and recording client in turn, against one loopback provider.

The provider is a process of its own and answers fixed bytes, so that what differs between the two is ours.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import openai

import ai_clients

CHUNKS = 50
MESSAGES: Any = [{"role": "user", "content": "How much does this call cost? " * 20}]


@dataclass(frozen=True)
class Overhead:
    """Of one kind of call, in microseconds: without recording, and what recording adds at the median and at p99."""

    what: str
    bare_us: float
    added_p50_us: float
    added_p99_us: float
    added_cpu_us: float


def measure(rounds: int) -> list[Overhead]:
    """Interleaved, so that the machine's noise falls on both alike. Recording drains in no thread of this process."""
    with subprocess.Popen([sys.executable, "-m", "bench.provider"], stdout=subprocess.PIPE, text=True) as provider:
        assert provider.stdout is not None
        url = provider.stdout.readline().strip()
        bare = openai.OpenAI(api_key="bench", base_url=url, max_retries=0)
        recording = ai_clients.OpenAI(api_key="bench", base_url=url, max_retries=0)
        try:
            return [
                _overhead("plain chat completion", _plain, bare, recording, rounds),
                _overhead(f"streamed, {CHUNKS} chunks", _streamed, bare, recording, rounds),
                _overhead("streamed, to the first chunk", _first_chunk, bare, recording, rounds),
            ]
        finally:
            provider.terminate()


def _plain(client: openai.OpenAI) -> float:
    client.chat.completions.create(model="gpt-4.1-mini", messages=MESSAGES)
    return time.perf_counter()


def _streamed(client: openai.OpenAI) -> float:
    for _ in client.chat.completions.create(model="gpt-4.1-mini", messages=MESSAGES, stream=True):
        pass
    return time.perf_counter()


def _first_chunk(client: openai.OpenAI) -> float:
    stream = client.chat.completions.create(model="gpt-4.1-mini", messages=MESSAGES, stream=True)
    next(stream)
    reached = time.perf_counter()
    for _ in stream:
        pass
    return reached


def _overhead(
    what: str, call: Callable[[openai.OpenAI], float], bare: openai.OpenAI, recording: openai.OpenAI, rounds: int
) -> Overhead:
    for client in (bare, recording) * 50:
        call(client)
    wall: dict[int, list[float]] = {0: [], 1: []}
    cpu = {0: 0.0, 1: 0.0}
    for number in range(rounds):
        for which, client in ((0, bare), (1, recording)) if number % 2 else ((1, recording), (0, bare)):
            cpu_before, before = time.process_time(), time.perf_counter()
            wall[which].append(call(client) - before)
            cpu[which] += time.process_time() - cpu_before
    without, with_ = sorted(wall[0]), sorted(wall[1])
    tail = int(rounds * 0.99)
    return Overhead(
        what=what,
        bare_us=statistics.median(without) * 1e6,
        added_p50_us=(statistics.median(with_) - statistics.median(without)) * 1e6,
        added_p99_us=(with_[tail] - without[tail]) * 1e6,
        added_cpu_us=(cpu[1] - cpu[0]) / rounds * 1e6,
    )
