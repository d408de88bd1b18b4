"""Tells which generator a frame runs in, and whether a `with` statement holds a context for the frame alone.

A generator that yields inside a `with` is suspended with its context open, and its reader runs on. A generator that
`contextlib` made a context manager of is suspended too, but there the reader is the body of the `with`. The frame that
reads a generator tells the two apart.
"""

from __future__ import annotations

import asyncio
import dis
import inspect
import weakref
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import NamedTuple

_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE
_SUSPENDABLE = _GENERATOR | _COROUTINE

CONTEXT_MANAGERS = frozenset(
    (
        "contextlib",  # `contextmanager`, `asynccontextmanager`
        "_pytest",  # a fixture that yields: its tests are the body
        "pluggy",  # a hook wrapper of pytest: the hook is the body
        "anyio",  # an async fixture
        "pytest_asyncio",  # as above
    )
)
"""Packages that read a generator as a context manager, so that its context is meant for whoever entered it."""

EVENT_LOOPS = frozenset(("asyncio", "uvloop", "trio"))
"""Packages that run each step of a task in the task's own context."""

_RUN_CALLBACK = asyncio.Handle._run.__code__
_WITH = dis.opmap.get("BEFORE_WITH")  # Python 3.11 to 3.13. Without it every frame is searched for a generator.


class Opener(NamedTuple):
    """The generator, or coroutine driven by hand, that code runs in; None if there is none.

    may_yield: whether it may yield to its reader while the context is open.
    """

    generator: FrameType | None
    may_yield: bool


NO_GENERATOR = Opener(None, may_yield=False)


def is_of_function(frame: FrameType) -> bool:
    """Whether the context that this frame enters now ends before anything is suspended: a function's `with`."""
    return not frame.f_code.co_flags & _SUSPENDABLE and _is_entering_with(frame)


def opener(frame: FrameType) -> Opener:
    """Return the opener of a context that is entered from this frame."""
    generator = _nearest_generator(frame)
    if generator is None:
        return NO_GENERATOR
    # All that a coroutine driven by hand awaits may hand control to the driver, whichever coroutine has the `with`.
    is_driven_by_hand = generator.f_code.co_flags & _COROUTINE
    return Opener(generator, may_yield=bool(is_driven_by_hand or not _is_entering_with(_entering(frame))))


def suspendable_frames(start: FrameType) -> Iterator[FrameType]:
    """Yield the frames of generators and coroutines that run now, up to the first of the task or callback."""
    frame: FrameType | None = start
    while frame is not None:
        code = frame.f_code
        if code.co_flags & _SUSPENDABLE:
            yield frame
            if code.co_flags & _COROUTINE and _is_step_of_task(frame):
                return
        elif code is _RUN_CALLBACK:
            return
        frame = frame.f_back


def _nearest_generator(start: FrameType) -> FrameType | None:
    frame: FrameType | None = start
    while frame is not None:
        code = frame.f_code
        flags = code.co_flags
        if flags & _COROUTINE:
            if _is_step_of_task(frame):
                return None
            if not _is_suspendable(frame.f_back):
                return frame
        elif flags & _GENERATOR:
            if not _is_context_manager(frame):
                return frame
        elif code is _RUN_CALLBACK:
            return None
        frame = frame.f_back
    return None


def _entering(frame: FrameType) -> FrameType:
    """Return the frame that enters: of nested context managers built on generators, the user of the outermost."""
    while frame.f_code.co_flags & _GENERATOR and _is_context_manager(frame):
        driver = frame.f_back
        if driver is None or driver.f_back is None:
            break
        frame = driver.f_back
    return frame


def _is_context_manager(generator: FrameType) -> bool:
    return _package(generator.f_back) in CONTEXT_MANAGERS


def _is_step_of_task(coroutine: FrameType) -> bool:
    """Whether an event loop runs this coroutine, and nobody awaits it within the same task."""
    driver = coroutine.f_back
    if driver is None:
        return True
    if driver.f_code.co_flags & _COROUTINE:
        return False
    if _package(driver) in EVENT_LOOPS:
        return True
    if _is_suspendable(driver):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False  # no loop runs in this thread
    # A loop written in C has no frame of its own.
    return task is not None and getattr(task.get_coro(), "cr_frame", None) is coroutine


def _is_suspendable(frame: FrameType | None) -> bool:
    return frame is not None and bool(frame.f_code.co_flags & _SUSPENDABLE)


def _package(frame: FrameType | None) -> str:
    """Return the name of the top-level package that the frame's code belongs to."""
    name = frame.f_globals.get("__name__") if frame is not None else None
    return name.partition(".")[0] if isinstance(name, str) else ""


# ── `with` statements ────────────────────────────────────────────────────────────────────────────────────────────

_with_statements: dict[int, tuple[weakref.ref[CodeType], frozenset[int]]] = {}
"""Code object's id → the offsets of its `with` statements. Code objects compare by content, which takes long."""


def _is_entering_with(frame: FrameType) -> bool:
    """Whether this frame, of no generator, now enters a `with` statement: the context ends before the frame does."""
    code = frame.f_code
    if code.co_flags & _GENERATOR:
        return False
    known = _with_statements.get(id(code))
    if known is None or known[0]() is not code:
        known = _with_statements[id(code)] = (weakref.ref(code, _forget(id(code))), _offsets(code))
    return frame.f_lasti in known[1]


def _offsets(code: CodeType) -> frozenset[int]:
    instructions = code.co_code
    return frozenset(at for at in range(0, len(instructions), 2) if instructions[at] == _WITH)


def _forget(key: int) -> Callable[[object], None]:
    return lambda _: _with_statements.pop(key, None) and None
