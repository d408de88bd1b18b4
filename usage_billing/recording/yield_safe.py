"""A context variable whose values hold inside of the blocks that set them, also when a generator yields in a block.

A `ContextVar` belongs to a task or a thread. A generator that yields inside a `with` would leave its value to its
reader, and take the reader's own away (PEP 568, which was not accepted, describes it). Here each block remembers the
generator that opened it, and only code that runs inside of that generator gets its value.
"""

from __future__ import annotations

import functools
import gc
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar, Token
from types import FrameType
from typing import Generic, TypeAlias, TypeVar

from usage_billing.recording import call_stack

T = TypeVar("T")

MOST_TO_ASK = 20
"""With more generators than this, searching the call stack takes less time than asking each whether it runs."""

_clock = itertools.count()
_collections: dict[int, int] = {}
"""Thread → the tick at which its run of the garbage collector began."""


def _note_collection(phase: str, _info: dict[str, int]) -> None:
    thread = threading.get_ident()
    if phase == "start":
        _collections[thread] = next(_clock)
    else:
        _collections.pop(thread, None)


gc.callbacks.append(_note_collection)


def is_collecting() -> bool:
    """Whether the garbage collector runs this code, such as the cleanup of a forgotten generator."""
    return threading.get_ident() in _collections


class Block(Generic[T]):
    """A block that sets a value. Contexts hold it, and their copies in tasks and threads.

    generator: identifies the generator that opened it; None outside of generators. is_uncertain: whether code that
    finds it in its context may be code of another block. opened_at, closed_at: ticks of this module's clock.
    """

    __slots__ = ("closed_at", "generator", "is_uncertain", "opened_at", "token", "value")

    def __init__(self, value: T, generator: int | None, *, is_uncertain: bool) -> None:
        self.value = value
        self.generator = generator
        self.is_uncertain = is_uncertain
        self.opened_at = next(_clock)
        self.closed_at: int | None = None
        self.token: Token[tuple[Block[T], ...]] | None = None


class _Generator(Generic[T]):
    """A generator with open blocks, the innermost last.

    It keeps the frame, so that no other frame gets its id. It is kept by its `OpenBlock`s alone, and the frame keeps
    these: a generator that is thrown away unfinished is garbage, and this with it.
    """

    __slots__ = ("__weakref__", "blocks", "frame", "key")

    def __init__(self, frame: FrameType) -> None:
        self.frame = frame
        self.key = next(_clock)
        self.blocks: list[Block[T]] = []


OpenBlock: TypeAlias = tuple[Block[T], "_Generator[T] | None"]
"""The handle of a block, from `YieldSafeVar.open` to `close`."""


class YieldSafeVar(Generic[T]):
    """The value of the innermost block around the running code.

    in_common: combines the values of two blocks, newer and older, for code that one of them started, nobody knows
    which.
    """

    def __init__(self, name: str, *, default: T, in_common: Callable[[T, T], T]) -> None:
        self._default = default
        self._in_common = in_common
        self._blocks: ContextVar[tuple[Block[T], ...]] = ContextVar(name, default=())
        self._generators: weakref.WeakValueDictionary[int, _Generator[T]] = weakref.WeakValueDictionary()
        """By the id of the frame."""
        self._had_generators = False
        """Whether there ever was one: asking the dictionary takes longer than all else that `get` does."""

    def get(self, frame: FrameType) -> T:
        """Return the value for the code that runs now, in this frame."""
        if _collections and is_collecting():
            return self._during_collection()
        if self._had_generators and self._generators and (block := self._of_running_generator(frame)) is not None:
            return block.value
        blocks = self._blocks.get()
        for block in blocks:
            if block.is_uncertain:
                return self._of_context(blocks)
        return blocks[-1].value if blocks else self._default

    def open(self, value: T, frame: FrameType) -> OpenBlock[T]:
        """Open a block that this frame enters. Only `close` ends it."""
        if call_stack.is_of_function(frame) and not (self._generators and self._is_any_running()):
            # No generator has a block that this one is to come before.
            block, generator = Block(value, None, is_uncertain=False), None
        else:
            opener = call_stack.opener(frame)
            generator = None if opener.generator is None else self._generator(opener.generator)
            block = Block(value, generator.key if generator else None, is_uncertain=opener.may_yield)
        block.token = self._blocks.set((*self._without_closed(), block))
        if generator is not None:
            generator.blocks.append(block)
        return block, generator

    def close(self, opened: OpenBlock[T]) -> None:
        """End a block, in any order, thread, task or context."""
        block, generator = opened
        if generator is not None:
            self._forget(generator, block)
        block.closed_at = next(_clock)
        blocks = self._blocks.get()
        try:
            self._blocks.reset(block.token)  # type: ignore[arg-type]
            block.token = None
        except (ValueError, RuntimeError):
            # The context that opened it still holds it, and cannot be reached from here.
            block.is_uncertain = True
            if generator is not None:
                return  # whoever closes a generator may have been started by it
        is_last = bool(blocks) and blocks[-1] is block
        self._blocks.set(blocks[:-1] if is_last else tuple(other for other in blocks if other is not block))

    def _during_collection(self) -> T:
        """Return the value for code that the garbage collector runs: it is not code of what happened to run then.

        The collector forgets weak references first, so that a generator's blocks may not be known any more.
        """
        blocks = self._blocks.get()
        is_its_own = bool(blocks) and blocks[-1].opened_at > _collections[threading.get_ident()]
        return blocks[-1].value if is_its_own else self._default

    def _generator(self, frame: FrameType) -> _Generator[T]:
        generator = self._generators.get(id(frame))
        if generator is None:
            self._had_generators = True
            generator = self._generators[id(frame)] = _Generator(frame)
        return generator

    def _forget(self, generator: _Generator[T], block: Block[T]) -> None:
        generator.blocks.remove(block)
        if not generator.blocks:
            self._generators.pop(id(generator.frame), None)

    def _of_running_generator(self, start: FrameType) -> Block[T] | None:
        """Return the innermost block of the innermost generator on the call stack of this task or thread."""
        if self._is_any_running():
            for frame in call_stack.suspendable_frames(start):
                generator = self._generators.get(id(frame))
                if generator is not None and generator.blocks:
                    return generator.blocks[-1]
        return None

    def _is_any_running(self) -> bool:
        """Whether a generator with blocks may run in some thread. A suspended one has no caller."""
        if len(self._generators) > MOST_TO_ASK:
            return True
        return any(
            (generator := found()) is not None and generator.frame.f_back is not None
            for found in self._generators.valuerefs()
        )

    def _of_context(self, blocks: tuple[Block[T], ...]) -> T:
        """Return the value for code that runs outside of generators, where some of the blocks are generators'."""
        inherited = []
        value: T | None = None
        is_found = False
        for block in blocks:
            if not self._is_opened_here(block):
                inherited.append(block)
            elif not block.is_uncertain:
                value, is_found = block.value, True
            # Otherwise it is of a suspended generator, which this code reads.
        if is_found:
            return value  # type: ignore[return-value]
        return functools.reduce(self._in_common, self._possible(inherited)) if inherited else self._default

    def _possible(self, inherited: list[Block[T]]) -> Iterator[T]:
        """Yield the values of the blocks in which this task or thread may have been started, the newest first.

        It was started by a generator that has a block here, or by other code: a reader of these generators.
        """
        newest = inherited[-1]
        generators = set()
        is_base_known = not newest.is_uncertain
        for block in reversed(inherited):
            if block.generator is None:
                if block is newest or not is_base_known:
                    yield block.value
                    is_base_known = is_base_known or not block.is_uncertain
            elif block.generator not in generators:
                generators.add(block.generator)
                # One that was closed before the newest was opened did not run any more.
                if newest.is_uncertain or block.closed_at is None or block.closed_at > newest.opened_at:
                    yield block.value
        if not is_base_known:
            yield self._default

    def _is_opened_here(self, block: Block[T]) -> bool:
        """Whether the running context is the one that opened the block, and no copy. Only it accepts the token."""
        token, blocks = block.token, self._blocks.get()
        try:
            if token is None:
                return False
            self._blocks.reset(token)
        except (ValueError, RuntimeError):  # RuntimeError: another thread, in the right context, uses it just now
            return False
        block.token = self._blocks.set(blocks)
        return True

    def _without_closed(self) -> tuple[Block[T], ...]:
        """Return the blocks of this context without those that were closed from elsewhere."""
        blocks = self._blocks.get()
        for block in blocks:
            if block.is_uncertain:
                return tuple(each for each in blocks if each.closed_at is None or not self._is_opened_here(each))
        return blocks
