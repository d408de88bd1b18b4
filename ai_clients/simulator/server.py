"""Serves the simulator: as a process of its own, or in a daemon thread of this one."""

import contextlib
import logging
import os
import socket
import threading
from dataclasses import dataclass

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ai_clients.simulator.app import app

__all__ = ["Simulator", "app", "ensure_running", "serve"]

_LOOPBACK = "127.0.0.1"
_BACKLOG = 2048
_START_SECONDS = 10.0
_THREAD_NAME = "provider-simulator"


@dataclass(frozen=True)
class Simulator:
    """Where a running simulator listens: the two values an SDK takes as its `base_url`."""

    openai_base_url: str
    anthropic_base_url: str


def serve(port: int = 0, host: str = _LOOPBACK) -> None:
    """Serve until SIGTERM or SIGINT; port 0 takes a free one. Prints the addresses in one line."""
    listener = _listen(host, port)
    simulator = _simulator_at(listener)
    print(  # noqa: T201 - the process that started us waits for this line
        f"Provider simulator: OpenAI {simulator.openai_base_url}  Anthropic {simulator.anthropic_base_url}",
        flush=True,
    )
    # uvicorn raises the signal again once it has stopped; Ctrl+C is no failure worth a traceback.
    with contextlib.suppress(KeyboardInterrupt):
        _Running(listener).run()


def ensure_running() -> Simulator:
    """The simulator of this process, started on the first call; a forked child gets one of its own.

    Raises RuntimeError when it does not start within 10 seconds.
    """
    global _running
    with _lock:
        if _running is None:
            running = _Running(_listen(_LOOPBACK, 0))
            running.start_in_thread()
            _running = running
        return _simulator_at(_running.listener)


class _Protocol(HttpToolsProtocol):
    """HTTP/1.1 without access lines, even if the host process logs those of its own server."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.access_log = False


class _Server(uvicorn.Server):
    """A server that tells when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.completed = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.completed.set()


class _Running:
    """One server and the socket it answers on."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        # No logging options: uvicorn would apply them to the loggers of the whole process.
        config = uvicorn.Config(
            app, http=_Protocol, ws="none", lifespan="off", log_config=None, log_level=None, backlog=_BACKLOG
        )
        self._server = _Server(config)
        self._failure: BaseException | None = None

    def run(self) -> None:
        # By thread, for the host process may well be served by uvicorn too and wants to see those lines.
        threading.current_thread().name = _THREAD_NAME
        logging.getLogger("uvicorn.error").addFilter(_is_of_another_thread)
        self._server.run(sockets=[self.listener])

    def start_in_thread(self) -> None:
        threading.Thread(target=self._run_guarded, name=_THREAD_NAME, daemon=True).start()
        is_completed = self._server.completed.wait(_START_SECONDS)
        if self._failure is not None or not is_completed:
            self._server.should_exit = True
            self.listener.close()
            reason = self._failure or f"not ready after {_START_SECONDS:g} seconds"
            raise RuntimeError(f"The provider simulator did not start: {reason}") from self._failure

    def _run_guarded(self) -> None:
        try:
            self.run()
        except BaseException as failure:  # noqa: BLE001 - the waiting thread raises it
            self._failure = failure
        finally:
            self._server.completed.set()


_lock = threading.Lock()
_running: _Running | None = None


def _forget_after_fork() -> None:
    """In a forked child: close the parent's socket, whose thread is not here, so that the child starts a server."""
    global _lock, _running
    _lock = threading.Lock()
    if _running is not None:
        _running.listener.close()
        _running = None


os.register_at_fork(after_in_child=_forget_after_fork)


def _listen(host: str, port: int) -> socket.socket:
    """A socket that already takes connections, so that its port is known and nobody is refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Asyncio turns Nagle's delay off only for sockets that say they are TCP; with it a call takes 40 ms more.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _simulator_at(listener: socket.socket) -> Simulator:
    host, port = listener.getsockname()[:2]
    origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return Simulator(openai_base_url=f"{origin}/openai/v1", anthropic_base_url=f"{origin}/anthropic")


def _is_of_another_thread(record: logging.LogRecord) -> bool:
    """Drops uvicorn's lines here, such as that of a stream cut on purpose; the app logs its own failures."""
    return record.threadName != _THREAD_NAME
