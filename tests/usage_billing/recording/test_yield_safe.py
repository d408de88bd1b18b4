"""Contexts over yields: generators, context managers built on generators, and other tasks, threads and contexts."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from typing import Any, TypeVar

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from tests.support.factories import event
from usage_billing import usage_context
from usage_billing.recording import collected, current_attribution, record
from usage_billing.recording.context import UNDETERMINED

R = TypeVar("R")


def org() -> Any:
    """The organisation of a call made here."""
    return current_attribution().org_id


def calls(org_id: int, number: int = 3) -> Iterator[tuple[int, Any]]:
    """Make calls for an organisation, and yield after each."""
    with usage_context(org=org_id):
        for _ in range(number):
            yield org_id, org()


async def async_calls(org_id: int, number: int = 3) -> AsyncIterator[tuple[int, Any]]:
    with usage_context(org=org_id):
        for _ in range(number):
            await asyncio.sleep(0)
            yield org_id, org()


def in_thread(function: Callable[[], R]) -> R:
    found: list[R] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


async def in_task(coroutine: Coroutine[Any, Any, R]) -> R:
    return await asyncio.create_task(coroutine)


# ── Generators and their readers ─────────────────────────────────────────────────────────────────────────────────


def test_two_generators_read_in_turns_keep_their_own_and_leave_none() -> None:
    # https://github.com/rerun-io/rerun/issues/6238
    for one, other in zip(calls(1), calls(2), strict=True):
        assert (one, other) == ((1, 1), (2, 2))
        assert org() is None
    assert org() is None


@pytest.mark.parametrize("first", [0, 1])
def test_generators_may_be_closed_in_any_order(first: int) -> None:
    with usage_context(org=9):
        both = [calls(1), calls(2)]
        assert [next(each) for each in both] == [(1, 1), (2, 2)]
        assert org() == 9
        both.pop(first).close()  # type: ignore[attr-defined]
        assert org() == 9
        ((asked, seen),) = [next(each) for each in both]
        assert asked == seen
    assert org() is None


def test_a_generator_that_is_thrown_away_leaves_nothing() -> None:
    half_read = calls(1)
    next(half_read)
    del half_read
    gc.collect()
    assert org() is None


def test_a_generator_in_a_cycle_is_collected_with_its_context() -> None:
    def cyclic(itself: list[Any]) -> Iterator[None]:
        with usage_context(org=1):
            yield
            itself.clear()

    cycle: list[Any] = []
    cycle.append(cyclic(cycle))
    next(cycle[0])
    del cycle
    gc.collect()
    assert org() is None


def test_code_that_the_garbage_collector_runs_is_nobodys() -> None:
    seen: list[Any] = []

    def cyclic(itself: list[Any]) -> Iterator[None]:
        with usage_context(org=1):
            try:
                yield
            finally:
                seen.append(org())
                with usage_context(org=3):
                    seen.append(org())
                itself.clear()

    cycle: list[Any] = []
    cycle.append(cyclic(cycle))
    next(cycle[0])
    del cycle
    with usage_context(org=2):
        gc.collect()
        assert org() == 2
    assert seen == [None, 3]


def test_the_reader_in_a_context_of_its_own_keeps_it() -> None:
    generator = calls(1)
    next(generator)
    with usage_context(org=2):
        assert org() == 2
        assert next(generator) == (1, 1)
        assert org() == 2
    assert next(generator) == (1, 1)
    assert org() is None


def test_a_generator_without_a_context_is_charged_to_its_reader() -> None:
    def bare() -> Iterator[Any]:
        while True:
            yield org()

    generator = bare()
    with usage_context(org=1):
        assert next(generator) == 1
    with usage_context(org=2):
        assert next(generator) == 2
    assert next(generator) is None


def test_a_generator_within_a_generator_and_functions_between() -> None:
    def call() -> Any:
        with usage_context(agent_id="inner"):
            assert current_attribution().agent_id == "inner"
            return org()

    def outer() -> Iterator[Any]:
        with usage_context(org=1):
            for each in calls(2):
                yield each[1], call()
            yield from calls(3)

    assert list(outer()) == [(2, 1)] * 3 + [(3, 3)] * 3
    assert org() is None


def test_reading_in_another_context_thread_or_by_a_built_in_function() -> None:
    generator = calls(1, 4)
    assert next(generator) == (1, 1)
    assert contextvars.copy_context().run(next, generator) == (1, 1)
    assert in_thread(lambda: next(generator)) == (1, 1)
    with usage_context(org=2):
        assert list(generator) == [(1, 1)]
        assert org() == 2
    assert org() is None


@pytest.mark.parametrize(
    "close_in", [in_thread, lambda function: contextvars.copy_context().run(function)], ids=["thread", "context"]
)
def test_closing_in_another_context_frees_the_one_that_opened_it(close_in: Callable[[Any], Any]) -> None:
    generator: Any = calls(1)
    with usage_context(org=2):
        next(generator)
        close_in(generator.close)
        assert org() == 2
    assert org() is None


def test_two_generators_may_throw_and_be_thrown_at() -> None:
    def fragile() -> Generator[Any, None, None]:
        with contextlib.suppress(LookupError), usage_context(org=1):
            yield org()
        yield org()

    generator = fragile()
    assert next(generator) == 1
    with usage_context(org=2):
        assert generator.throw(LookupError()) == 2  # its context ended: it is its reader's code now
        assert org() == 2


def test_a_coroutine_driven_by_hand_is_like_a_generator() -> None:
    class Pause:
        def __await__(self) -> Generator[None, None, None]:
            yield

    seen = []

    async def work(org_id: int) -> None:
        with usage_context(org=org_id):
            await Pause()
            seen.append(org())

    one, other = work(1), work(2)
    for each in (one, other, one, other):
        with contextlib.suppress(StopIteration):
            each.send(None)
        assert org() is None
    assert seen == [1, 2]


# ── Async generators ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_two_async_generators_read_in_turns() -> None:
    one, other = async_calls(1), async_calls(2)
    with usage_context(org=9):
        for _ in range(3):
            assert [await anext(one), await anext(other)] == [(1, 1), (2, 2)]
            assert org() == 9
    assert org() is None
    await one.aclose()  # type: ignore[attr-defined]
    await other.aclose()  # type: ignore[attr-defined]


async def test_an_async_generator_closed_by_another_task() -> None:
    # https://github.com/traceloop/openllmetry/issues/3061
    generator: Any = async_calls(1)
    assert await in_task(anext(generator)) == (1, 1)
    assert await anext(generator) == (1, 1)
    assert org() is None
    await in_task(generator.aclose())
    assert org() is None


async def test_a_time_limit_on_each_item() -> None:
    # Before Python 3.12, `wait_for` makes a task of each `anext`.
    generator = async_calls(1)
    with usage_context(org=2):
        assert [await asyncio.wait_for(anext(generator), 5) for _ in range(3)] == [(1, 1)] * 3
        assert org() == 2
        with pytest.raises(StopAsyncIteration):
            await anext(generator)
        assert org() == 2


def test_an_async_generator_that_its_loop_closes() -> None:
    async def leave_half_read() -> Any:
        async for _ in async_calls(1):
            break
        return org()

    assert asyncio.run(leave_half_read()) is None
    assert org() is None


# ── Context managers built on generators ─────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def as_org(org_id: int) -> Iterator[None]:
    with usage_context(org=org_id):
        yield


@contextlib.contextmanager
def as_org_twice_removed(org_id: int) -> Iterator[None]:
    with as_org(org_id):
        yield


@contextlib.asynccontextmanager
async def as_org_async(org_id: int) -> AsyncIterator[None]:
    await asyncio.sleep(0)
    with usage_context(org=org_id):
        yield


class AsOrg:
    """A context manager with an exit stack."""

    def __init__(self, org_id: int) -> None:
        self._org_id = org_id

    def __enter__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(usage_context(org=self._org_id))

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@pytest.mark.parametrize("helper", [as_org, as_org_twice_removed, AsOrg])
def test_a_helper_holds_for_its_body(helper: Callable[[int], contextlib.AbstractContextManager[None]]) -> None:
    with helper(1):
        assert org() == 1
        with helper(2):
            assert org() == 2
            assert next(calls(3)) == (3, 3)
            assert org() == 2
        assert org() == 1
    assert org() is None
    with contextlib.ExitStack() as stack:
        stack.enter_context(helper(1))
        stack.enter_context(helper(2))
        assert org() == 2
    assert org() is None


@pytest.mark.parametrize("helper", [as_org, as_org_twice_removed, AsOrg])
def test_a_helper_inside_a_generator_holds_for_the_generator_alone(helper: Callable[[int], Any]) -> None:
    def generator(org_id: int) -> Iterator[Any]:
        with helper(org_id):
            yield org()
            yield org()

    with usage_context(org=9):
        for one, other in zip(generator(1), generator(2), strict=True):
            assert (one, other, org()) == (1, 2, 9)


def test_a_helper_is_a_decorator_too() -> None:
    @as_org(1)
    def helped() -> Any:
        return org()

    @usage_context(org=2)
    def decorated() -> Any:
        return org(), helped()

    assert decorated() == (2, 1)
    assert org() is None


async def test_an_async_helper_holds_for_its_body() -> None:
    async with as_org_async(1), contextlib.AsyncExitStack() as stack:
        assert org() == 1
        await stack.enter_async_context(as_org_async(2))
        assert [org(), await in_task(async_org()), await asyncio.to_thread(org)] == [2, 2, 2]
    assert org() is None


async def async_org() -> Any:
    await asyncio.sleep(0)
    return org()


@pytest.fixture
def charged_fixture() -> Iterator[None]:
    with usage_context(org=7):
        yield


@pytest.fixture
async def charged_async_fixture() -> AsyncIterator[None]:
    with usage_context(org=8):
        yield


@pytest.mark.usefixtures("charged_fixture")
def test_a_fixture_of_pytest_holds_for_its_test() -> None:
    """Names `_pytest`, which reads the fixture's generator."""
    assert org() == 7
    assert [seen for _, seen in calls(1)] == [1, 1, 1]
    assert org() == 7


@pytest.mark.usefixtures("charged_async_fixture")
async def test_an_async_fixture_holds_for_its_test() -> None:
    """Names `anyio`, which reads the fixture's generator."""
    assert [org(), await in_task(async_org())] == [8, 8]


def test_a_hook_wrapper_holds_for_its_hook() -> None:
    """Names `pluggy`, which reads the wrapper's generator."""
    pluggy = pytest.importorskip("pluggy")
    hook, implementation = pluggy.HookspecMarker("calls"), pluggy.HookimplMarker("calls")

    class Specification:
        @hook  # type: ignore[untyped-decorator]
        def call(self) -> None: ...

    class Wrapper:
        @implementation(wrapper=True)  # type: ignore[untyped-decorator]
        def call(self) -> Generator[None, Any, Any]:
            with usage_context(org=1):
                return (yield)

    class Implementation:
        @implementation  # type: ignore[untyped-decorator]
        def call(self) -> Any:
            return org()

    manager = pluggy.PluginManager("calls")
    manager.add_hookspecs(Specification)
    manager.register(Wrapper())
    manager.register(Implementation())
    assert manager.hook.call() == [1]
    assert org() is None


def test_an_exit_stack_that_outlives_its_generator_holds_for_nobody_else() -> None:
    def generator(stack: contextlib.ExitStack, org_id: int) -> Iterator[Any]:
        stack.enter_context(usage_context(org=org_id))
        yield org()

    with contextlib.ExitStack() as stack:
        for org_id in range(1, 50):
            assert list(generator(stack, org_id)) == [org_id]
            assert org() is None
    assert org() is None


# ── Tasks and threads ────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_a_coroutine_starts_inside_a_generator_is_certain() -> None:
    async def work() -> list[Any]:
        with usage_context(org=1):
            return [
                *await asyncio.gather(async_org(), async_org()),
                await asyncio.to_thread(org),
                await sync_to_async(org)(),
            ]

    async def generator() -> AsyncIterator[list[Any]]:
        with usage_context(org=2):
            yield await work()
            yield await work()

    with usage_context(org=3):
        assert [seen async for seen in generator()] == [[1, 1, 1, 1]] * 2


async def test_a_task_of_a_generator_or_of_its_reader_is_never_charged_to_the_other() -> None:
    async def generator() -> AsyncIterator[Any]:
        with usage_context(org=1, agent_id="bot", metadata={"of": "generator"}):
            yield await in_task(async_org())

    with usage_context(org=2):
        async for of_generator in generator():
            assert of_generator == UNDETERMINED
            assert await in_task(async_org()) == UNDETERMINED
            assert await asyncio.to_thread(org) == UNDETERMINED
        assert await in_task(async_org()) == 2


async def test_a_task_of_either_keeps_what_both_agree_on() -> None:
    async def attribution() -> Any:
        return current_attribution()

    async def generator() -> AsyncIterator[Any]:
        with usage_context(agent_id="bot", metadata={"step": 1}):
            yield await in_task(attribution())

    with usage_context(org=2, user=5, metadata={"page": 3}):
        async for seen in generator():
            assert (seen.org_id, seen.user_id, seen.agent_id, seen.metadata) == (2, 5, "", {"page": 3})


async def test_a_task_of_the_reader_with_a_context_of_its_own_is_certain() -> None:
    async def reader() -> Any:
        with usage_context(org=3):
            return org()

    async for _ in async_calls(1):
        assert await in_task(reader()) == 3


async def test_a_task_outlives_the_block_that_started_it() -> None:
    go_on = asyncio.Event()

    async def late() -> Any:
        await go_on.wait()
        return org()

    with usage_context(org=1):
        task = asyncio.create_task(late())
    go_on.set()
    assert await task == 1


async def test_a_task_group_inherits() -> None:
    with usage_context(org=1):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(async_org()) for _ in range(2)]
    assert [task.result() for task in tasks] == [1, 1]


def test_asgiref_carries_contexts_there_and_back() -> None:
    context = usage_context(org=1)

    async def enter_and_exit_in_threads() -> list[Any]:
        await sync_to_async(context.__enter__)()
        inside = [org(), await sync_to_async(org)()]
        await sync_to_async(context.__exit__)(None, None, None)
        return [*inside, org(), await sync_to_async(org)()]

    assert async_to_sync(enter_and_exit_in_threads)() == [1, 1, None, None]
    with usage_context(org=2):
        assert async_to_sync(async_org)() == 2
        assert async_to_sync(enter_and_exit_in_threads)() == [1, 1, 2, 2]


async def test_a_context_closed_in_another_task_holds_in_neither() -> None:
    context = usage_context(org=1)
    context.__enter__()

    async def close() -> Any:
        context.__exit__()
        return org()

    assert await in_task(close()) is None
    assert org() is None
    assert await in_task(async_org()) in (None, UNDETERMINED)


def test_a_loop_inside_a_generator_runs_other_tasks_for_themselves() -> None:
    loop = asyncio.new_event_loop()
    with usage_context(org=2):
        other = loop.create_task(async_org())

    def generator() -> Iterator[Any]:
        with usage_context(org=1):
            loop.run_until_complete(asyncio.sleep(0))
            yield loop.run_until_complete(other)
            called: list[Any] = []
            loop.call_soon(lambda: called.append(org()))
            loop.run_until_complete(asyncio.sleep(0))
            yield called[0]

    assert list(generator()) == [2, UNDETERMINED]
    loop.close()


# ── Guards ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_context_is_not_entered_twice_at_once() -> None:
    context = usage_context(org=1)
    with context, pytest.raises(RuntimeError, match="entered already"), context:
        pass
    with context:  # but again
        assert org() == 1
    assert org() is None


def test_two_generators_with_collected_blocks_collect_their_own() -> None:
    def generator(collected_by: list[Any]) -> Iterator[None]:
        with collected() as events:
            for _ in range(2):
                record(event())
                yield
            collected_by.extend(events)

    one: list[Any] = []
    other: list[Any] = []
    with collected() as by_reader:
        for _ in zip(generator(one), generator(other), strict=True):
            record(event())
    assert [len(one), len(other)] == [2, 2]
    assert len(by_reader) == 6


def test_a_collected_block_closed_in_another_thread_ends() -> None:
    def generator() -> Iterator[list[Any]]:
        with collected() as events:
            yield events

    half_read: Any = generator()
    events = next(half_read)
    in_thread(functools.partial(half_read.close))
    record(event())
    assert events == []
