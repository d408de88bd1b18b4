"""Recording clients that talk to the simulator, and the outbox that their calls end up in."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from ai_clients import Anthropic, AsyncAnthropic, AsyncOpenAI, OpenAI, usage_option
from ai_clients.simulator import Simulator, ensure_running
from tests.support.configure import configure
from tests.support.recorded import Recorded
from usage_billing.recording import recorder


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    return ensure_running()


@pytest.fixture(autouse=True)
def recorded(tmp_path: Path, settings: Settings) -> Iterator[Recorded]:
    """A new outbox that nothing drains, a recorder that has lost nothing, and nothing known of any server."""
    path = tmp_path / "outbox.sqlite3"
    configure(settings, DRAIN="off")
    configure(settings, OUTBOX_PATH=str(path))
    recorder.outbox.cache_clear()
    recorder._losses.clear()
    usage_option.servers.clear()
    yield Recorded(path)
    recorder.outbox().close()
    recorder.outbox.cache_clear()
    recorder._losses.clear()


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The person who runs the tests may have keys, and Anthropic's profiles in the home directory."""
    for name in os.environ:
        if name.startswith(("OPENAI_", "ANTHROPIC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.fixture(scope="session")
def openai_recording(simulator: Simulator) -> Iterator[OpenAI]:
    with OpenAI(base_url=simulator.openai_base_url, api_key="sk-simulated-secret") as client:
        yield client


@pytest.fixture(scope="session")
def anthropic_recording(simulator: Simulator) -> Iterator[Anthropic]:
    with Anthropic(base_url=simulator.anthropic_base_url, api_key="sk-ant-simulated-secret") as client:
        yield client


@pytest.fixture
async def openai_recording_async(simulator: Simulator) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=simulator.openai_base_url, api_key="sk-simulated-secret") as client:
        yield client


@pytest.fixture
async def anthropic_recording_async(simulator: Simulator) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=simulator.anthropic_base_url, api_key="sk-ant-simulated-secret") as client:
        yield client
