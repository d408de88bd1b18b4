"""Every way in which a Python process begins and ends: workers recycled, forked, spawned, left in the middle."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException

import pytest

from tests.support.postgres import free_port
from tests.support.reliability.world import ROOT, Figures, Site, times, wait_until

pytestmark = pytest.mark.postgres

CALLS = times(50, 5000)


@pytest.fixture
def calling(site: Site) -> Site:
    """Its processes drain by themselves, and know where to write their account."""
    site.settings |= {"USAGE_DRAIN": "thread", "ACCOUNT": site.account.folder, "ORG": site.org}
    site.settings |= {"SECURE_SSL_REDIRECT": 0}
    return site


@contextmanager
def serving(site: Site, *command: str, port: int) -> Iterator[None]:
    with (site.folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, env=site.environment, stdout=log, stderr=log
        )
        try:
            wait_until(lambda: server.poll() is not None or _status(port, "/healthz") == 200)
            yield
        finally:
            server.terminate()
            assert server.wait(60) in (0, -15), (site.folder / "server.log").read_text()


def _status(port: int, path: str) -> int | None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (ConnectionError, HTTPException):
        return None
    finally:
        connection.close()


def ask(port: int, path: str) -> None:
    """Until it is answered: a worker that is recycled may hang up on a connection that it has not read from."""
    with ThreadPoolExecutor(6) as clients:
        found = list(clients.map(lambda number: _status(port, f"{path}/{number}"), range(CALLS)))
    assert set(found) <= {200, None}
    assert found.count(200) > CALLS * 0.9


def test_gunicorn_preloaded_with_workers_that_are_recycled(calling: Site, record_property: Figures) -> None:
    port = free_port()
    options = (
        "--config=deploy/gunicorn.conf.py",
        "--max-requests=10",
        "--max-requests-jitter=0",
        f"--bind=127.0.0.1:{port}",
        "--log-level=error",
    )
    with serving(calling, "gunicorn", "tests.support.reliability.wsgi", *options, port=port):
        ask(port, "/call")
    assert len(list(calling.account.folder.iterdir())) > 4
    record_property("figures", calling.expect_every_call_once(under_way=CALLS))


def test_an_asgi_server(calling: Site, record_property: Figures) -> None:
    port = free_port()
    options = (f"--port={port}", "--log-level=error", "--lifespan=off")
    with serving(calling, "uvicorn", "tests.support.reliability.asgi:application", *options, port=port):
        ask(port, "/call-async")
    assert len(calling.account.answers()) >= CALLS * 0.9
    record_property("figures", calling.expect_every_call_once())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(calling: Site, record_property: Figures, method: str) -> None:
    """The parent has called, and drains, when the children begin."""
    program = (
        "import multiprocessing, os\n"
        "from pathlib import Path\n"
        "import django\n"
        "django.setup()\n"
        "from tests.support.reliability.caller import make_calls\n"
        "if __name__ == '__main__':\n"
        "    of = (Path(os.environ['ACCOUNT']), int(os.environ['ORG']))\n"
        "    make_calls(*of, 10, 2)\n"
        f"    processes = multiprocessing.get_context('{method}')\n"
        "    children = [processes.Process(target=make_calls, args=(*of, 10, 2)) for _ in range(3)]\n"
        "    for child in children: child.start()\n"
        "    make_calls(*of, 10, 2)\n"
        "    for child in children: child.join()\n"
        "    assert [child.exitcode for child in children] == [0, 0, 0]\n"
    )
    script = calling.folder / "children.py"
    script.write_text(program)
    calling.run(str(script), seconds=240)  # four processes that load Django and both SDKs, on a busy machine
    assert len(calling.account.answers()) == 100
    record_property("figures", calling.expect_every_call_once())


def test_celery_with_a_process_for_each_task(calling: Site, record_property: Figures) -> None:
    tasks = times(8, 500)
    broker = calling.folder / "broker"
    (broker / "control").mkdir(parents=True)
    calling.settings["BROKER"] = broker
    send = f"from tests.support.reliability.tasks import call\nfor number in range({tasks}): call.delay(number)"
    calling.run("-c", send)
    command = ("celery", "-A", "tests.support.reliability.tasks", "worker", "--pool=prefork", "--concurrency=3")
    with (calling.folder / "celery.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", *command, "--without-gossip", "--without-mingle", "--without-heartbeat"],
            cwd=ROOT, env=calling.environment, stdout=log, stderr=log,
        )  # fmt: skip
        wait_until(lambda: worker.poll() is not None or len(calling.account.answers()) == tasks, seconds=120 + tasks)
        worker.terminate()
        worker.wait(60)
    assert len(calling.account.answers()) == tasks, (calling.folder / "celery.log").read_text()
    assert len(list(calling.account.folder.iterdir())) == tasks
    record_property("figures", calling.expect_every_call_once())


CALL = (
    "import os; from pathlib import Path; from tests.support.reliability.caller import make_calls;"
    "make_calls(Path(os.environ['ACCOUNT']), int(os.environ['ORG']), 4)"
)


def test_a_command_that_ends_at_once_drains_what_it_called(calling: Site, record_property: Figures) -> None:
    calling.manage("shell", "--no-imports", "--command", CALL)
    assert len(calling.rows()) == 4
    record_property("figures", calling.expect_every_call_once())


def test_a_command_that_ends_while_the_database_is_away_ends_all_the_same(
    calling: Site, record_property: Figures
) -> None:
    calling.server.stop("immediate")
    printed = calling.run("-c", f"import django; django.setup(); {CALL}", seconds=30)
    assert "4 AI calls are left in the outbox" in printed
    calling.server.start_again()
    record_property("figures", calling.expect_every_call_once())


def test_threads_that_still_stream_when_the_interpreter_ends(calling: Site, record_property: Figures) -> None:
    program = (
        "import os, threading, time; from pathlib import Path; import django; django.setup()\n"
        "from tests.support.reliability.caller import make_calls\n"
        "of = (Path(os.environ['ACCOUNT']), int(os.environ['ORG']))\n"
        "for _ in range(4): threading.Thread(target=make_calls, args=(*of, 100_000), daemon=True).start()\n"
        "time.sleep(2)"
    )
    for _ in range(times(1, 50)):
        calling.run("-c", program)
    assert len(calling.account.answers()) > 10
    record_property("figures", calling.expect_every_call_once(under_way=4 * times(1, 50)))
