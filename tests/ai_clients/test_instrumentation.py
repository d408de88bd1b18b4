"""`instrument()` records the official clients, whoever constructs them, once."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from openai.types.chat import ChatCompletion
from pytest_django import Settings

import ai_clients
from ai_clients import endpoints, instrumentation
from ai_clients.instrumentation import BASE_CLIENTS, instrument, uninstrument
from ai_clients.simulator import Simulator
from tests.support.configure import configure
from tests.support.recorded import Recorded
from tests.support.scripted import CHAT, CHAT_ANSWER, MESSAGE, Provider, plain
from usage_billing.checks import configuration
from usage_billing.recording import recorder

SOURCES = Path(__file__).parents[2]


@pytest.fixture
def instrumented(recorded: Recorded) -> Iterator[Recorded]:
    """The events of a process that is instrumented as long as the test runs."""
    instrument()
    yield recorded
    uninstrument()


@pytest.fixture
def openai_options(simulator: Simulator) -> dict[str, Any]:
    return {"api_key": "k", "base_url": simulator.openai_base_url}


@pytest.fixture
def anthropic_options(simulator: Simulator) -> dict[str, Any]:
    return {"api_key": "k", "base_url": simulator.anthropic_base_url}


@pytest.mark.parametrize("module", BASE_CLIENTS)
def test_each_sdk_has_the_private_method_that_is_patched(module: str) -> None:
    """`BaseClient._build_request`: pyproject.toml caps the versions of both SDKs for its sake."""
    parameters = inspect.signature(sys.modules[module].BaseClient._build_request).parameters
    assert list(parameters) == ["self", "options", "retries_taken"]


class OwnClient(openai.OpenAI):
    """A subclass as another library has it."""


WAYS: dict[str, Callable[[openai.OpenAI], Any]] = {
    "plain": lambda client: client.chat.completions.create(**CHAT),
    "streamed": lambda client: list(client.chat.completions.create(**CHAT, stream=True)),
    "raw": lambda client: client.chat.completions.with_raw_response.create(**CHAT).parse(),
    "post": lambda client: client.post("/chat/completions", cast_to=ChatCompletion, body=CHAT),
    "copy": lambda client: client.with_options(timeout=9).copy().chat.completions.create(**CHAT),
    "helper": lambda client: list(client.chat.completions.stream(**CHAT).__enter__()),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [openai.OpenAI, OwnClient, ai_clients.OpenAI])
def test_each_way_to_call_is_recorded_once(
    way: str, kind: type[openai.OpenAI], instrumented: Recorded, openai_options: dict[str, Any]
) -> None:
    with kind(**openai_options) as client:
        WAYS[way](client)
    event = instrumented.one()
    assert (event.flavour, event.status) == ("chat", "succeeded")
    assert bytes(event.usage) != b"null"


def test_messages_are_recorded(instrumented: Recorded, anthropic_options: dict[str, Any]) -> None:
    with anthropic.Anthropic(**anthropic_options) as client:
        client.messages.create(**MESSAGE)
        with client.messages.stream(**MESSAGE) as stream:
            stream.until_done()
    assert [(event.flavour, event.status) for event in instrumented.all()] == [("messages", "succeeded")] * 2


@pytest.mark.anyio
async def test_async_clients_are_recorded(
    instrumented: Recorded, openai_options: dict[str, Any], anthropic_options: dict[str, Any]
) -> None:
    async with openai.AsyncOpenAI(**openai_options) as client, anthropic.AsyncAnthropic(**anthropic_options) as other:
        await client.chat.completions.create(**CHAT)
        await other.messages.create(**MESSAGE)
    assert [event.flavour for event in instrumented.all()] == ["chat", "messages"]


def test_a_client_from_before_is_recorded(recorded: Recorded, openai_options: dict[str, Any]) -> None:
    with openai.OpenAI(**openai_options) as client:
        client.chat.completions.create(**CHAT)
        assert recorded.all() == []
        instrument()
        try:
            client.chat.completions.create(**CHAT)
        finally:
            uninstrument()
    assert len(recorded.all()) == 1


def test_the_modules_own_client_is_recorded(
    instrumented: Recorded, openai_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "api_key", openai_options["api_key"])
    monkeypatch.setattr(openai, "base_url", f"{openai_options['base_url']}/")
    monkeypatch.setattr(openai, "_client", None)
    openai.chat.completions.create(**CHAT)
    assert instrumented.one().flavour == "chat"


def test_twice_changes_nothing_and_undoing_restores_the_sdk(recorded: Recorded) -> None:
    bases = [sys.modules[name].BaseClient for name in BASE_CLIENTS]
    originals = [base._build_request for base in bases]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: instrument(), range(64)))
    patched = [base._build_request for base in bases]
    instrument()
    assert [base._build_request for base in bases] == patched
    assert [each.__wrapped__ for each in patched] == originals
    uninstrument()
    assert [base._build_request for base in bases] == originals
    assert instrumentation._finder not in sys.meta_path


class Outer(httpx2.BaseTransport):
    """A transport that another library puts around the one that the client has, after the first call."""

    def __init__(self, inner: httpx2.BaseTransport) -> None:
        self.inner = inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self.inner.handle_request(request)


def test_a_transport_wrapped_around_ours_does_not_record_twice(instrumented: Recorded) -> None:
    # Without an id of its own, nothing would tell the second record from the first.
    provider = Provider(lambda _: plain({**CHAT_ANSWER, "id": "1"}, headers={"x-request-id": ""}))
    with httpx2.Client(transport=provider) as http_client:
        client = openai.OpenAI(api_key="k", base_url="https://api.openai.com/v1", http_client=http_client)
        client.chat.completions.create(**CHAT)
        http_client._transport = Outer(http_client._transport)
        client.chat.completions.create(**CHAT)
        client.chat.completions.create(**CHAT)
    assert len(instrumented.all()) == 3
    assert ["ai_costs" in request.extensions for request in provider.requests] == [False] * 3


def test_an_sdk_of_another_shape_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    instrumentation._patch(type(sys)("openai._base_client"))
    assert "The calls of openai._base_client are not recorded" in caplog.text


def test_without_an_outbox_it_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "has_django_settings", lambda: False)
    monkeypatch.setattr(recorder, "given", dict)
    with pytest.raises(ImproperlyConfigured, match="AI_COSTS_OUTBOX_PATH"):
        instrument()


def test_an_http_client_of_the_program_records_below_the_base_urls_that_it_names(
    recorded: Recorded, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "_base_urls", set())
    endpoints.endpoint_of.cache_clear()
    body = {"model": "gpt-4.1-mini", "input": "Hello"}
    with httpx2.Client() as client:
        ai_clients.record_http_client(client, f"{simulator.openai_base_url}/")
        client.post(f"{simulator.openai_base_url}/responses", json=body)
        client.post(f"{simulator.anthropic_base_url}/responses", json=body)
    assert recorded.one().url == f"{simulator.openai_base_url}/responses"


# ── The setting ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_on", [True, False])
def test_the_setting_instruments_when_django_starts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, is_on: bool
) -> None:
    calls: list[bool] = []
    monkeypatch.setattr(instrumentation, "instrument", lambda: calls.append(True))
    configure(settings, INSTRUMENT=is_on)
    apps.get_app_config("ai_clients").ready()
    assert calls == [True] * is_on


def test_the_setting_without_the_app_is_an_error(settings: Settings) -> None:
    configure(settings, INSTRUMENT=True)
    assert configuration.settings_are_understood() == []
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "ai_clients"]
    (error,) = configuration.settings_are_understood()
    assert (error.id, error.hint) == ("usage_billing.E012", 'Add "ai_clients" to INSTALLED_APPS.')


# ── Imports ──────────────────────────────────────────────────────────────────────────────────────────────────────

SCRIPT = """
import sys
{first}
import ai_clients
ai_clients.instrument()
print([name for name in ("openai", "anthropic", "django.db") if name in sys.modules])
import openai
openai.OpenAI().chat.completions.create(model="gpt-4.1-mini", messages=[{{"role": "user", "content": "Hello"}}])
print(openai._base_client.__spec__.loader.get_source("openai._base_client")[:4], "anthropic" in sys.modules)
"""


@pytest.mark.parametrize(
    ("first", "imported"), [("", "[]"), ("import openai", "['openai']"), ("import openai.types", "['openai']")]
)
def test_an_sdk_is_patched_when_the_program_imports_it_and_not_before(
    first: str, imported: str, simulator: Simulator, recorded: Recorded, tmp_path: Path
) -> None:
    script = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT.format(first=first)],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(SOURCES),
            "AI_COSTS_OUTBOX_PATH": str(recorded.path),
            "OPENAI_API_KEY": "k",
            "OPENAI_BASE_URL": simulator.openai_base_url,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (script.returncode, script.stdout) == (0, f"{imported}\nfrom False\n"), script.stderr
    assert recorded.one().flavour == "chat"
