"""Keeps Python's cycle collector from searching a batch's rows, which hold no cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def not_collected() -> Iterator[None]:
    """Pause the cycle collector, of the whole process, for one batch. Memory is freed by reference counts meanwhile.

    A batch makes a million objects that live until its end, and the collector went through them again and again: 28 of
    the 112 µs of CPU that Python spent on a call.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
