"""How many requests with a service token are let in: `API_RATE_TOKEN` for each token, in fixed windows.

A token may send thousands of requests a second, so no request waits for the cache: each process counts by itself, and
adds its count to that of all processes every `SHARED_EVERY_S`. Together they may let in more than the rate by what
they count in that time. Only a cache that all workers share holds the rate over all of them.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from dataclasses import dataclass

from django.core.cache import cache

from usage_billing.auth.service_tokens import Program
from usage_billing.conf import conf

logger = logging.getLogger(__name__)

SHARED_EVERY_S = 0.25
AWAY_S = 5.0
"""A cache that failed is asked again after that: it may have taken its time to fail."""
WINDOWS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
clock = time.time


@dataclass
class _Count:
    """Requests of one token in one window. seen: those of all processes, as far as known; unshared: not yet added."""

    window: int
    seen: int = 0
    unshared: int = 0
    shared_at: float = 0.0


_counts: dict[int, _Count] = {}
"""By the token's id."""
_lock = threading.Lock()


def seconds_to_wait(program: Program) -> int:
    """Count a request of this token. Returns 0 if it is let in, else the seconds until the next window begins.

    While the cache fails, this process's own count holds, and the log has a warning.
    """
    rate: str | None = conf.API_RATE_TOKEN
    if not rate:
        return 0
    most, length = _parsed(rate)
    now = clock()
    window = int(now // length)
    to_share = 0
    with _lock:
        count = _counts.get(program.token_id)
        if count is None or count.window != window:
            count = _counts[program.token_id] = _Count(window)
        is_over = count.seen >= most
        if not is_over:
            count.seen += 1
            count.unshared += 1
            if now - count.shared_at >= SHARED_EVERY_S:
                to_share, count.unshared, count.shared_at = count.unshared, 0, now
    if to_share:
        _share(program, count, to_share, length)
    return max(1, math.ceil((window + 1) * length - now)) if is_over else 0


def forget() -> None:
    """Begin to count anew in this process: for tests."""
    with _lock:
        _counts.clear()


def _share(program: Program, count: _Count, to_share: int, length: int) -> None:
    """Add this process's count to that of all, and learn what the others have counted."""
    key = f"usage_billing.token_rate:{program.token_id}:{length}:{count.window}"
    try:
        cache.add(key, 0, timeout=2 * length)
        together = cache.incr(key, to_share)
    except Exception as error:  # noqa: BLE001  # each cache has errors of its own
        logger.warning("The cache that counts requests does not answer (%s): this process counts alone.", error)
        with _lock:
            count.shared_at = clock() + AWAY_S
        return
    with _lock:
        count.seen = max(count.seen, together + count.unshared)


@functools.lru_cache(maxsize=8)
def _parsed(rate: str) -> tuple[int, int]:
    """Requests, and the length of the window in seconds: `6000/min` is (6000, 60)."""
    number, _, period = rate.partition("/")
    return int(number), WINDOWS[period[0]]
