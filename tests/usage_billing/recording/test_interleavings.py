"""Random programs that interleave contexts: no call may be charged to another tenant than the one that made it.

Each program is a tree of actions drawn from a seed. It enters contexts over functions, generators, async generators,
context managers built on generators, tasks, threads and executors; reads generators in turns and from elsewhere; closes
them early, throws into them, and leaves them to the garbage collector. The program itself knows who makes each call.

20,000 programs:  AI_COSTS_INTERLEAVINGS=20000 python -m pytest tests/usage_billing/recording/test_interleavings.py
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import itertools
import os
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import pytest

from usage_billing import usage_context, with_usage_context
from usage_billing.recording import current_attribution
from usage_billing.recording.context import UNDETERMINED
from usage_billing.recording.executors import ThreadPoolExecutor
from usage_billing.recording.yield_safe import is_collecting

PROGRAMS = int(os.environ.get("AI_COSTS_INTERLEAVINGS", "400"))
CHUNK = 100  # programs in a test
DEPTH = 5


def context_of(org: int | None) -> usage_context:
    """Return the context of a tenant's code, whose calls have a tag of the tenant's."""
    return usage_context(org=org, tags=None if org is None else {"org": org})


class BoomError(Exception):
    """Thrown by programs, at themselves and into generators."""


@dataclass(frozen=True)
class Who:
    """The tenant whose code runs.

    is_certain: whether it must be found; else `undetermined` is allowed. opened_in: the context (by number) in which
    a generator opened the tenant's block; None outside of generators.
    """

    org: int | None
    is_certain: bool = True
    opened_in: int | None = None


NOBODY = Who(None)


@dataclass
class Reading:
    """A generator, shared by all parts of a program. Its reader says who it is before it reads."""

    reader: Who
    lock: Any
    generator: Any = None


class Program:
    """One random program. `wrong` has what was charged to whom it should not be."""

    def __init__(self, seed: int, pool: ThreadPoolExecutor) -> None:
        self.random = random.Random(seed)
        self.pool = pool
        self.orgs = itertools.count(1)
        self.contexts = itertools.count(1)
        self.context: ContextVar[int] = ContextVar("context", default=0)
        self.sync_readings: list[Reading] = []
        self.async_readings: list[Reading] = []
        self.had_generator_blocks = False
        self.wrong: list[str] = []
        self.calls = 0
        self.left = 60

    # ── Calls, and what every kind of code does ──────────────────────────────────────────────────────────────────

    def call(self, who: Who, where: str) -> None:
        self.calls += 1
        found = current_attribution()
        seen = found.org_id
        if is_collecting() and seen is None:
            return  # the rule for code that the garbage collector runs
        if seen != who.org and (who.is_certain or seen != UNDETERMINED):
            self.wrong.append(f"{where}: {who} was charged to {seen}")
        if found.tags != ({} if seen in (None, UNDETERMINED) else {"org": str(seen)}):
            self.wrong.append(f"{where}: {who} was charged to {seen} with the tags {found.tags}")

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def copied(self, who: Who) -> Who:
        """Return the tenant of code in a copied context that `who` has started."""
        return replace(who, is_certain=who.is_certain and not self.had_generator_blocks, opened_in=None)

    def entered(self, *, by_generator: bool) -> Who:
        return Who(next(self.orgs), opened_in=self.context.get() if by_generator else None)

    def is_elsewhere(self, who: Who) -> bool:
        """Whether a generator runs in another context than the one that opened its block."""
        return who.opened_in is not None and who.opened_in != self.context.get()

    def enter_context_of_its_own(self) -> None:
        self.context.set(next(self.contexts))

    def manager(self, org: int | None) -> Any:
        kind = self.random.choice(["plain", "helper", "nested", "stack", "class"])
        if kind == "helper":
            return helper(org)
        if kind == "nested":
            return nested_helper(org)
        if kind == "class":
            return ByHand(org)
        if kind == "stack":
            stack = contextlib.ExitStack()
            return _Entered(stack, context_of(org))
        return context_of(org)

    # ── Functions and generators ─────────────────────────────────────────────────────────────────────────────────

    def run(self, who: Who, depth: int = 0) -> None:
        for _ in range(self.random.randint(1, 5)):
            self.call(who, "function")
            if depth >= DEPTH or self.left <= 0:
                return
            self.left -= 1
            self.random.choice(self.ACTIONS)(self, who, depth + 1)
        self.call(who, "function's end")

    def nest(self, who: Who, depth: int) -> None:
        inner = self.entered(by_generator=who.opened_in is not None)
        with contextlib.suppress(BoomError), self.manager(inner.org):
            self.run(inner, depth)
            if self.chance(0.2):
                raise BoomError

    def nest_without_an_org(self, who: Who, depth: int) -> None:
        with usage_context(agent_id="bot"):
            self.run(who, depth)

    def make(self, who: Who, depth: int) -> None:
        reading = Reading(who, threading.Lock())
        reading.generator = self.generate(reading, depth, bare=self.chance(0.2))
        self.sync_readings.append(reading)
        self.read(who, depth, reading)

    def generate(self, reading: Reading, depth: int, *, bare: bool) -> Iterator[None]:
        self.had_generator_blocks = True
        self.call(reading.reader, "generator's start")
        if bare:
            for _ in range(self.random.randint(1, 4)):
                yield
                self.run(reading.reader, depth)
            return
        me = self.entered(by_generator=True)
        with contextlib.suppress(BoomError), self.manager(me.org):
            try:
                for _ in range(self.random.randint(1, 4)):
                    self.run(me, depth)
                    yield
                    self.call(me, "generator, after a yield")
            finally:
                self.call(me, "generator's cleanup")
        self.call(reading.reader, "generator's end")
        yield
        self.call(reading.reader, "generator, after a yield behind its block")

    def read(self, who: Who, depth: int, reading: Reading | None = None) -> None:
        reading = reading or self.pick(self.sync_readings)
        if reading is None or not reading.lock.acquire(blocking=False):
            return
        try:
            reading.reader = who
            if self.chance(0.25):
                reading.generator.throw(BoomError())
            else:
                next(reading.generator)
        except (StopIteration, BoomError):
            self.remove(self.sync_readings, reading)
        finally:
            reading.lock.release()
        self.call(who, "reader")

    def read_in_another_context(self, who: Who, depth: int) -> None:
        def read() -> None:
            self.enter_context_of_its_own()
            self.read(replace(self.copied(who), opened_in=None), depth)

        if not self.is_elsewhere(who):
            contextvars.copy_context().run(read)
            self.call(who, "reader")

    def zip(self, who: Who, depth: int) -> None:
        readings = [Reading(who, threading.Lock()) for _ in range(2)]
        both = [self.generate(reading, depth + 1, bare=False) for reading in readings]
        for _ in zip(*both, strict=False):
            self.call(who, "reader of two")

    def close(self, who: Who, depth: int) -> None:
        reading = self.pick(self.sync_readings)
        if reading is None or not reading.lock.acquire(blocking=False):
            return
        try:
            reading.reader = who
            reading.generator.close()
            self.remove(self.sync_readings, reading)
        finally:
            reading.lock.release()

    def drop(self, who: Who, depth: int) -> None:
        reading = self.pick(self.sync_readings)
        if reading is not None and reading.lock.acquire(blocking=False):
            reading.reader = who
            self.remove(self.sync_readings, reading)
            reading.generator = None
        if self.chance(0.02):
            gc.collect()

    def thread(self, who: Who, depth: int) -> None:
        kind = self.random.choice(["copied", "bare", "carried", "executor"])
        if kind == "copied" and self.is_elsewhere(who):
            kind = "carried"  # the documented way for a generator that is read elsewhere

        def work(started_by: Who) -> None:
            self.enter_context_of_its_own()
            self.run(started_by, depth)

        if kind == "executor":
            self.pool.submit(contextvars.Context().run, with_usage_context(work), replace(who, opened_in=None)).result()
            return
        target: Callable[..., None] = work
        started_by = replace(who, opened_in=None)
        if kind == "copied":
            target, started_by = contextvars.copy_context().run, self.copied(who)
        elif kind == "carried":
            target = with_usage_context(work)
        else:
            started_by = NOBODY
        arguments = (work, started_by) if kind == "copied" else (started_by,)
        thread = threading.Thread(target=target, args=arguments)
        thread.start()
        thread.join()

    ACTIONS = (
        nest, nest, nest_without_an_org, make, make, read, read, read, read_in_another_context, zip, close, drop,
        thread,
    )  # fmt: skip

    # ── Coroutines and async generators ──────────────────────────────────────────────────────────────────────────

    async def run_async(self, who: Who, depth: int = 0) -> None:
        for _ in range(self.random.randint(1, 5)):
            self.call(who, "coroutine")
            if depth >= DEPTH or self.left <= 0:
                return
            self.left -= 1
            if self.chance(0.3):
                await asyncio.sleep(0)
            if self.chance(0.25):
                self.run(who, depth + 1)
            else:
                await self.random.choice(self.ASYNC_ACTIONS)(self, who, depth + 1)
        self.call(who, "coroutine's end")

    async def nest_async(self, who: Who, depth: int) -> None:
        inner = self.entered(by_generator=who.opened_in is not None)
        with contextlib.suppress(BoomError):
            if self.chance(0.3):
                async with async_helper(inner.org):
                    # An `async with` inside a generator is not recognised as ending before it yields.
                    await self.run_async(inner, depth)
                    raise BoomError
            with self.manager(inner.org):
                await self.run_async(inner, depth)
                if self.chance(0.2):
                    raise BoomError

    async def make_async(self, who: Who, depth: int) -> None:
        reading = Reading(who, asyncio.Lock())
        reading.generator = self.generate_async(reading, depth)
        self.async_readings.append(reading)
        await self.read_async(who, depth, reading)

    async def generate_async(self, reading: Reading, depth: int) -> AsyncIterator[None]:
        self.call(reading.reader, "async generator's start")
        self.had_generator_blocks = True
        me = self.entered(by_generator=True)
        with contextlib.suppress(BoomError), self.manager(me.org):
            try:
                for _ in range(self.random.randint(1, 4)):
                    await self.run_async(me, depth)
                    yield
                    self.call(me, "async generator, after a yield")
            finally:
                self.call(me, "async generator's cleanup")
        self.call(reading.reader, "async generator's end")

    async def read_async(self, who: Who, depth: int, reading: Reading | None = None) -> None:
        reading = reading or self.pick(self.async_readings)
        if reading is None or reading.lock.locked():
            return
        async with reading.lock:
            reading.reader = who
            try:
                if self.chance(0.2):
                    await reading.generator.athrow(BoomError())
                else:
                    await anext(reading.generator)
            except (StopAsyncIteration, BoomError):
                self.remove(self.async_readings, reading)
        self.call(who, "async reader")

    async def close_async(self, who: Who, depth: int) -> None:
        reading = self.pick(self.async_readings)
        if reading is None or reading.lock.locked():
            return
        async with reading.lock:
            reading.reader = who
            await reading.generator.aclose()
            self.remove(self.async_readings, reading)

    async def drop_async(self, who: Who, depth: int) -> None:
        reading = self.pick(self.async_readings)
        if reading is not None and not reading.lock.locked():
            reading.reader = who
            self.remove(self.async_readings, reading)
            reading.generator = None

    async def elsewhere(self, who: Who, depth: int) -> None:
        """Read or close in a task of its own."""
        if self.is_elsewhere(who):
            return

        async def work() -> None:
            self.enter_context_of_its_own()
            await self.random.choice([self.read_async, self.close_async])(self.copied(who), depth)

        await asyncio.create_task(work())

    async def tasks(self, who: Who, depth: int) -> None:
        work, started_by = self.task, self.copied(who)
        if self.is_elsewhere(who):
            work, started_by = with_usage_context(self.task), replace(who, opened_in=None)
        await asyncio.gather(*(work(started_by, depth) for _ in range(self.random.randint(1, 2))))

    async def late_task(self, who: Who, depth: int) -> None:
        """Start a task that outlives the block that starts it."""
        if not self.is_elsewhere(who):
            self.late.append(asyncio.create_task(self.task(self.copied(who), depth)))

    async def task(self, who: Who, depth: int) -> None:
        self.enter_context_of_its_own()
        await self.run_async(who, depth)

    async def thread_async(self, who: Who, depth: int) -> None:
        def work(started_by: Who) -> None:
            self.enter_context_of_its_own()
            self.run(started_by, depth)

        if self.is_elsewhere(who) or self.chance(0.5):
            await asyncio.to_thread(with_usage_context(work), replace(who, opened_in=None))
        else:
            await asyncio.to_thread(work, self.copied(who))

    ASYNC_ACTIONS = (
        nest_async, nest_async, make_async, make_async, read_async, read_async, read_async, close_async, drop_async,
        elsewhere, elsewhere, tasks, late_task, thread_async,
    )  # fmt: skip

    # ── The whole ────────────────────────────────────────────────────────────────────────────────────────────────

    def pick(self, readings: list[Reading]) -> Reading | None:
        return self.random.choice(readings) if readings else None

    def remove(self, readings: list[Reading], reading: Reading) -> None:
        if reading in readings:
            readings.remove(reading)

    async def main_async(self, who: Who) -> None:
        self.late: list[asyncio.Task[None]] = []
        self.enter_context_of_its_own()
        await self.run_async(who)
        while self.late:
            await self.late.pop()
        self.call(who, "the end of the main task")

    def main(self) -> None:
        self.run(NOBODY)
        if self.chance(0.6):
            self.left = 60
            asyncio.run(self.main_async(self.copied(NOBODY)))
        self.call(NOBODY, "before the last generators are dropped")
        self.sync_readings.clear()
        self.async_readings.clear()
        self.call(NOBODY, "the end")


@contextlib.contextmanager
def helper(org: int | None) -> Iterator[None]:
    with context_of(org):
        yield


@contextlib.contextmanager
def nested_helper(org: int | None) -> Iterator[None]:
    with helper(-1), helper(org):
        yield


@contextlib.asynccontextmanager
async def async_helper(org: int | None) -> AsyncIterator[None]:
    await asyncio.sleep(0)
    with context_of(org):
        yield


class ByHand:
    """A context manager that keeps another one."""

    def __init__(self, org: int | None) -> None:
        self._context = context_of(org)

    def __enter__(self) -> None:
        self._context.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)


class _Entered:
    """An exit stack that enters a context when it is entered itself."""

    def __init__(self, stack: contextlib.ExitStack, context: usage_context) -> None:
        self._stack, self._context = stack, context

    def __enter__(self) -> None:
        self._stack.enter_context(self._context)

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("first", range(0, PROGRAMS, CHUNK))
def test_no_call_is_charged_to_another_tenant(first: int) -> None:
    calls = 0
    with ThreadPoolExecutor(max_workers=2 * DEPTH) as pool:  # a piece of work may wait for another
        for seed in range(first, min(first + CHUNK, PROGRAMS)):
            program = Program(seed, pool)
            contextvars.Context().run(program.main)
            assert not program.wrong, f"program {seed}: {program.wrong[:5]}"
            calls += program.calls
    assert calls > CHUNK * 10
