"""The official SDK clients, pointed at the simulator of this process."""

from collections.abc import AsyncIterator, Iterator

import anthropic
import openai
import pytest

from ai_clients.simulator import Simulator, ensure_running


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    return ensure_running()


@pytest.fixture(scope="session")
def openai_client(simulator: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=simulator.openai_base_url, api_key="sk-simulated") as client:
        yield client


@pytest.fixture(scope="session")
def anthropic_client(simulator: Simulator) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=simulator.anthropic_base_url, api_key="sk-ant-simulated") as client:
        yield client


@pytest.fixture
async def async_openai_client(simulator: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=simulator.openai_base_url, api_key="sk-simulated") as client:
        yield client


@pytest.fixture
async def async_anthropic_client(simulator: Simulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=simulator.anthropic_base_url, api_key="sk-ant-simulated") as client:
        yield client
