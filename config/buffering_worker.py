"""The web server's worker: gunicorn starts, recycles and replaces it, waitress speaks HTTP in it.

gunicorn's own threads read a request and write its answer themselves, so that as many slow clients as there are threads
hold up everybody. waitress reads whole requests, and sends answers, in one loop over all connections: a thread works on
a request from when its last byte is here until its answer is made, and no longer. Only an answer larger than
`ANSWER_IN_BUFFER` waits, in its thread, for a slow reader; exports alone are as large, and `exports` bounds them.
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
"""Bytes of a request's body; beyond it: 413. More than Django takes (`DATA_UPLOAD_MAX_MEMORY_SIZE`, 2.5 MB) needs no
room here. Half a megabyte is kept in memory, more in a temporary file."""
ANSWER_IN_BUFFER = 2 * 1024 * 1024
"""Bytes of an answer that wait for its reader without a thread: one megabyte in memory, more in a temporary file."""
IDLE_S = 130
"""For how long a connection is kept on which nothing happens. Caddy closes its own after two minutes, so before us."""
LINGER_S = 2
"""For how long a worker that stops serves the connections that it has, for a request may be on its way already."""


class Threads(ThreadedTaskDispatcher):  # type: ignore[misc]  # waitress has no types
    """As many as were wanted at once so far, up to `most`.

    waitress starts all at once and takes them in turn: each has a connection to the database, whose caches are cold
    when its turn comes, or which `CONN_MAX_AGE` has closed by then.
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
    """Close connections whose client has taken nothing of its answer for `IDLE_S`.

    waitress closes an idle one when it can be written to, which is never if its client reads nothing, and none on which
    a request is being answered: its thread would wait for ever with an answer that is larger than the buffer.
    """
    cutoff = time.time() - IDLE_S
    for channel in [each for each in connections.values() if isinstance(each, HTTPChannel)]:
        waits = channel.will_close or channel.total_outbufs_len > ANSWER_IN_BUFFER
        if waits and channel.last_activity < cutoff:
            channel.handle_close()


class BufferingWorker(Worker):  # type: ignore[misc]  # gunicorn has no types
    """Stops like gunicorn's own: accepts no more, answers what it has, within `graceful_timeout`."""

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
            # Which of the proxies' headers to believe is for Django: BEHIND_TLS_PROXY, TRUSTED_PROXIES.
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
        """Wait for something to happen on a connection, for a second at most, and tell gunicorn that this one lives."""
        self.notify()
        wasyncore.loop(timeout=1, use_poll=True, map=connections, count=1)
        if (now := time.monotonic()) - self._looked_at >= 1:
            self._looked_at = now
            hang_up_on_silent(connections)

    def _counted(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The application; after `max_requests` the worker ends, and gunicorn starts a new one."""
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        answer: Iterable[bytes] = self.wsgi(environ, start_response)
        return answer
