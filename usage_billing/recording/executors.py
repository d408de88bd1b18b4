"""Executors whose work is attributed to the code that submits it. Otherwise they are those of `concurrent.futures`.

One executor may serve many organisations: each piece of work has the context of its own `submit` or `map`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from typing import ParamSpec, TypeVar

from usage_billing.recording.carrying import with_usage_context

P = ParamSpec("P")
R = TypeVar("R")


class ThreadPoolExecutor(futures.ThreadPoolExecutor):
    """Runs work in threads, in the usage context of the code that submits it."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> futures.Future[R]:
        """Run the function in a thread; return its future."""
        return super().submit(with_usage_context(fn), *args, **kwargs)


class ProcessPoolExecutor(futures.ProcessPoolExecutor):
    """Runs work in other processes, in the usage context of the code that submits it."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> futures.Future[R]:
        """Run the function in another process; return its future."""
        return super().submit(with_usage_context(fn), *args, **kwargs)
