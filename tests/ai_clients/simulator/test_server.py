"""The simulator as a process, as a thread, and after a fork."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from subprocess import PIPE

import httpx2
import openai
import pytest

from ai_clients.simulator import Simulator, ensure_running, server
from ai_clients.simulator.__main__ import main

COMMAND = [sys.executable, "-m", "ai_clients.simulator"]


def is_serving(simulator: Simulator) -> bool:
    answer = httpx2.get(simulator.openai_base_url + "/models", headers={"Authorization": "Bearer k"})
    return answer.status_code == 200


def cut_a_stream(simulator: Simulator) -> None:
    """A body that never ends, which uvicorn reports as an error."""
    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.post(
            simulator.openai_base_url + "/responses",
            json={"model": "gpt-4.1", "input": "Hi", "stream": True},
            headers={"Authorization": "Bearer k", "X-Simulator-Cut-After": "2"},
        )


def test_process_prints_its_line_and_serves_quietly() -> None:
    stops = (signal.SIGTERM, signal.SIGINT)
    # Both at once, for most of the time goes into the interpreter's start.
    processes = [subprocess.Popen(COMMAND, stdout=PIPE, stderr=PIPE, text=True) for _ in stops]
    try:
        for process, stop in zip(processes, stops, strict=True):
            assert process.stdout is not None
            match = re.fullmatch(
                r"Provider simulator: OpenAI (http://127\.0\.0\.1:(\d+)/openai/v1)"
                r"  Anthropic (http://127\.0\.0\.1:\2/anthropic)\n",
                process.stdout.readline(),
            )
            assert match is not None
            with openai.OpenAI(base_url=match[1], api_key="k") as client:
                completion = client.chat.completions.create(
                    model="gpt-4.1", messages=[{"role": "user", "content": "Hi"}]
                )
            assert completion.usage is not None
            cut_a_stream(Simulator(openai_base_url=match[1], anthropic_base_url=match[3]))
            process.send_signal(stop)
            rest, errors = process.communicate(timeout=10)
            assert (rest, errors) == ("", "")
            assert process.returncode in (0, -stop)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_command_says_when_the_port_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(sys, "argv", ["simulator", "--port", str(port)])
        with pytest.raises(SystemExit) as exit_:
            main()
    assert exit_.value.code == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_ensure_running_starts_once_for_all_threads() -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        simulators = set(pool.map(lambda _: ensure_running(), range(32)))
    assert simulators == {ensure_running()}
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("provider-simulator") == 1
    assert is_serving(ensure_running())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_child_gets_its_own_server(simulator: Simulator) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            own = ensure_running()
            report = f"{own != simulator} {is_serving(own)}"
        except BaseException as error:  # noqa: BLE001 - a child must never return into pytest
            report = repr(error)
        os.write(writing, report.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        report = pipe.read()
    os.waitpid(child, 0)
    assert report == "True True"
    assert is_serving(simulator)


def test_ensure_running_says_why_it_did_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_arguments: object, **_options: object) -> None:
        raise OSError("no more files")

    monkeypatch.setattr(server, "_running", None)
    monkeypatch.setattr("uvicorn.Server.startup", fail)
    with pytest.raises(RuntimeError, match="did not start: no more files"):
        ensure_running()


def test_ensure_running_leaves_uvicorns_loggers_alone(caplog: pytest.LogCaptureFixture) -> None:
    ensure_running()
    assert logging.getLogger("uvicorn.error").level == logging.NOTSET
    assert logging.getLogger("uvicorn.access").propagate
    with caplog.at_level(logging.INFO):
        logging.getLogger("uvicorn.error").info("a line of the host's own server")
        cut_a_stream(ensure_running())
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")]
    assert lines == ["a line of the host's own server"]
