"""A client calls the configured provider or, in development only, the simulator."""

from __future__ import annotations

import sys
from typing import Any

import openai
import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from ai_clients import Anthropic, AsyncAnthropic, AsyncOpenAI, OpenAI
from ai_clients.connection import PROVIDERS, destinations, with_simulator
from ai_clients.simulator import Simulator
from tests.support.configure import configure
from tests.support.recorded import Recorded
from tests.support.scripted import CHAT, MESSAGE


@pytest.fixture(autouse=True)
def _development(settings: Settings) -> None:
    configure(settings, SIMULATOR=True)


def test_client_without_options_calls_the_simulator(simulator: Simulator, recorded: Recorded) -> None:
    with OpenAI() as openai_client, Anthropic() as anthropic_client:
        assert openai_client.chat.completions.create(**CHAT).usage is not None
        assert anthropic_client.messages.create(**MESSAGE).usage.input_tokens > 0
    assert [event.url for event in recorded.all()] == [
        simulator.openai_base_url + "/chat/completions",
        simulator.anthropic_base_url + "/v1/messages",
    ]


@pytest.mark.anyio
async def test_client_without_options_calls_the_simulator_async(recorded: Recorded) -> None:
    async with AsyncOpenAI() as openai_client, AsyncAnthropic() as anthropic_client:
        await openai_client.chat.completions.create(**CHAT)
        await anthropic_client.messages.create(**MESSAGE)
    assert [event.flavour for event in recorded.all()] == ["chat", "messages"]


def test_copy_of_a_client_without_options_calls_the_simulator(simulator: Simulator, recorded: Recorded) -> None:
    with OpenAI() as client:
        client.with_options(timeout=5).chat.completions.create(**CHAT)
    assert recorded.one().url == simulator.openai_base_url + "/chat/completions"


def test_other_options_do_not_keep_a_client_from_the_simulator(simulator: Simulator) -> None:
    with OpenAI(timeout=5, max_retries=7, organization="org") as client:
        assert str(client.base_url) == simulator.openai_base_url + "/"
        assert (client.timeout, client.max_retries, client.organization) == (5, 7, "org")


@pytest.mark.parametrize("name", PROVIDERS)
def test_with_simulator_any_option_that_says_who_calls_is_enough(name: str) -> None:
    for option in PROVIDERS[name].options:
        options = {option: "given", "timeout": 5}
        assert with_simulator(name, options) is options


@pytest.mark.parametrize("name", PROVIDERS)
def test_with_simulator_any_variable_that_says_who_calls_is_enough(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"timeout": 5}
    for variable in (*PROVIDERS[name].variables, PROVIDERS[name].base_url_variable):
        with monkeypatch.context() as patch:
            patch.setenv(variable, "given")
            assert with_simulator(name, options) is options
    assert with_simulator(name, options)["api_key"] == "simulator"


def test_missing_key_in_production_is_the_official_error(settings: Settings) -> None:
    configure(settings, SIMULATOR=False)
    with pytest.raises(openai.OpenAIError, match="Missing credentials"):
        OpenAI()
    with pytest.raises(openai.OpenAIError, match="Missing credentials"):
        AsyncOpenAI()


def test_destinations_name_the_simulator_where_nothing_is_configured() -> None:
    assert destinations() == {"OpenAI": "simulator", "Anthropic": "simulator"}


def test_destinations_are_the_providers_in_production(settings: Settings) -> None:
    configure(settings, SIMULATOR=False)
    assert destinations() == {"OpenAI": "https://api.openai.com/v1", "Anthropic": "https://api.anthropic.com"}


def test_destinations_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://gateway.test")
    assert destinations() == {"OpenAI": "https://api.openai.com/v1", "Anthropic": "https://gateway.test"}


@pytest.mark.parametrize("name", PROVIDERS)
def test_missing_simulator_is_said_with_the_variable_to_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_clients.simulator.server", None)
    with pytest.raises(ImproperlyConfigured, match=f"Set {PROVIDERS[name].variables[0]}"):
        with_simulator(name, {})
