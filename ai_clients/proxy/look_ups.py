"""Look-ups in the database that requests need, but that no request waits long for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from django.db import Error, close_old_connections

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

PATIENCE_S = 0.5
"""How long a request waits for a look-up whose last result is at hand: a database that is away takes seconds."""
AWAY_S = 3600.0
"""For how long the last result holds while the database does not answer."""
MOST_KNOWN = 10_000

_threads = ThreadPoolExecutor(8, thread_name_prefix="proxy-look-up")


class LookUps(Generic[K, V]):
    """Results of `look_up`, which runs in a thread, each held for `hold_s` seconds; None is not held.

    Requests that ask for the same at the same time share one look-up. While the database is away, the last result
    holds; where there is none, its error is raised.
    """

    def __init__(self, look_up: Callable[[K], V], *, hold_s: float) -> None:
        self._look_up = look_up
        self._hold_s = hold_s
        self._known: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._pending: dict[K, asyncio.Future[V]] = {}

    async def get(self, key: K) -> V:
        """Return the result for the key, at most `hold_s` old while the database answers."""
        known = self._known.get(key)
        age = time.monotonic() - known[0] if known is not None else AWAY_S
        if known is not None and age < self._hold_s:
            return known[1]
        pending = self._pending.get(key) or self._begun(key)
        if known is None or age >= AWAY_S:
            return await asyncio.shield(pending)
        await asyncio.wait({pending}, timeout=PATIENCE_S)
        if not pending.done() or pending.exception() is not None:
            return known[1]
        return pending.result()

    def _begun(self, key: K) -> asyncio.Future[V]:
        pending = asyncio.get_running_loop().run_in_executor(_threads, _with_connection, self._look_up, key)
        self._pending[key] = pending
        pending.add_done_callback(lambda done: self._ended(key, done))
        return pending

    def _ended(self, key: K, done: asyncio.Future[V]) -> None:
        self._pending.pop(key, None)
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            if not isinstance(error, Error):
                logger.error("A look-up of the proxy failed.", exc_info=error)
            else:
                logger.warning("The database does not answer the proxy: what it said last holds.")
            return
        if done.result() is None:
            # Not kept: what nobody has would push out what somebody has.
            self._known.pop(key, None)
            return
        self._known[key] = time.monotonic(), done.result()
        self._known.move_to_end(key)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)


def _with_connection(look_up: Callable[[K], V], key: K) -> V:
    """Look up in this thread, whose connection may have died since it was used last."""
    close_old_connections()
    try:
        return look_up(key)
    finally:
        close_old_connections()
