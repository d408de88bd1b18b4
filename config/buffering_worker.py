"""The web server's worker: gunicorn starts and replaces it, waitress speaks HTTP in it.

gunicorn's own threads read requests and write answers themselves, so a few slow clients occupy all threads. waitress
reads whole requests and sends answers in one loop over all connections: a thread works on a request only from its last
byte until its answer is made. Only an answer larger than `ANSWER_IN_BUFFER` keeps its thread while a slow client reads.
Only exports are as large, and `api.export_slots` limits them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gunicorn.workers.base import Worker
from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer
from waitress.task import ThreadedTaskDispatcher

LARGEST_BODY = 3 * 1024 * 1024
"""Bytes of a request's body; beyond it: 413. A little more than Django accepts (`DATA_UPLOAD_MAX_MEMORY_SIZE`, 2.5 MB).
Half a megabyte is kept in memory, more in a temporary file."""
ANSWER_IN_BUFFER = 2 * 1024 * 1024
"""Bytes of an answer that are buffered, so that its thread is free: one megabyte in memory, more in a file."""
IDLE_S = 130
"""Seconds until an idle connection is closed. Caddy closes its own earlier, after two minutes."""
LINGER_S = 2
"""Seconds that a stopping worker still serves its open connections, because a request may be on its way."""


class Threads(ThreadedTaskDispatcher):  # type: ignore[misc]  # waitress has no types
    """Starts threads as they are needed, up to `most`.

    waitress starts all at once and uses them in turn, so that each thread's database connection is cold or closed.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def add_task(self, task: Any) -> None:
        idle = len(self.threads) - self.active_count
        if idle <= len(self.queue) and len(self.threads) < self.most:
            self.set_thread_count(len(self.threads) + 1)
        super().add_task(task)


def hang_up_on_silent(connections: Mapping[int, Any]) -> None:
    """Close connections whose client has read nothing of its answer for `IDLE_S`.

    waitress closes an idle connection only when it is writable, and never while a request is being answered. With an
    answer larger than the buffer, the thread would wait for ever.
    """
    cutoff = time.time() - IDLE_S
    for channel in [each for each in connections.values() if isinstance(each, HTTPChannel)]:
        waits = channel.will_close or channel.total_outbufs_len > ANSWER_IN_BUFFER
        if waits and channel.last_activity < cutoff:
            channel.handle_close()


class BufferingWorker(Worker):  # type: ignore[misc]  # gunicorn has no types
    """Stops as gunicorn's own workers do: accepts nothing more, and answers open requests within `graceful_timeout`."""

    _looked_at = 0.0

    def run(self) -> None:
        connections: dict[int, Any] = {}
        create_server(
            self._counted,
            map=connections,
            sockets=[listener.sock for listener in self.sockets],
            threads=0,
            connection_limit=self.cfg.worker_connections,
            max_request_body_size=LARGEST_BODY,
            outbuf_high_watermark=ANSWER_IN_BUFFER,
            channel_timeout=IDLE_S,
            # Django decides which headers of proxies to believe: BEHIND_TLS_PROXY, TRUSTED_PROXIES.
            clear_untrusted_proxy_headers=False,
            ident=None,
            log_socket_errors=False,
        )
        threads = Threads(self.cfg.threads)
        listeners = [each for each in connections.values() if isinstance(each, BaseWSGIServer)]
        for listener in listeners:
            listener.task_dispatcher = threads
        while self.alive and os.getppid() == self.ppid:
            self._serve(connections)
        for listener in listeners:
            listener.accepting = False
        stopped_at = time.monotonic()
        while (waited := time.monotonic() - stopped_at) < self.cfg.graceful_timeout:
            channels = [each for each in connections.values() if isinstance(each, HTTPChannel)]
            if not any(channel.requests or channel.total_outbufs_len for channel in channels) and (
                waited > LINGER_S or not channels
            ):
                break
            self._serve(connections)
        threads.shutdown(timeout=1)

    def _serve(self, connections: dict[int, Any]) -> None:
        """Handle events of connections for a second at most, and tell gunicorn that the worker is alive."""
        self.notify()
        wasyncore.loop(timeout=1, use_poll=True, map=connections, count=1)
        if (now := time.monotonic()) - self._looked_at >= 1:
            self._looked_at = now
            hang_up_on_silent(connections)

    def _counted(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Call the application. After `max_requests` the worker ends, and gunicorn starts a new one."""
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        answer: Iterable[bytes] = self.wsgi(environ, start_response)
        return answer
