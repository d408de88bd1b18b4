"""Every way to call Anthropic's client is recorded once, and is otherwise the official client's."""

from __future__ import annotations

import inspect
import json
import pickle
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import _client
from pydantic import BaseModel
from pytest_django import Settings

from ai_clients import Anthropic, AsyncAnthropic
from ai_clients.simulator import Simulator
from tests.support.configure import configure
from tests.support.recorded import Recorded, usage_of
from tests.support.scripted import MESSAGE, Provider, plain
from usage_billing.recording.event import Event

CLASSES = [(Anthropic, anthropic.Anthropic), (AsyncAnthropic, anthropic.AsyncAnthropic)]
ANSWER: dict[str, Any] = {
    "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "content": [{"type": "text", "text": "Hi!"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 20},
}


class Mood(BaseModel):
    word: str
    strength: int


def assert_recorded(event: Event, message: Any, simulator: Simulator) -> None:
    assert (event.flavour, event.url) == ("messages", simulator.anthropic_base_url + "/v1/messages")
    assert (event.request_id, event.model) == (message.id, message.model)
    assert (event.status, event.error_code, event.response) == ("succeeded", "", {})
    assert usage_of(event) == message.usage.to_dict()
    assert event.duration_ms >= 0


def _merged(events: list[Any]) -> Any:
    """The message of the stream's start with the usage of its end, as the documentation tells to read them."""
    message = next(event.message for event in events if event.type == "message_start")
    closing = next(event.usage for event in events if event.type == "message_delta")
    fields = {name: value for name, value in closing.to_dict().items() if value is not None}
    return message.model_copy(update={"usage": message.usage.model_copy(update=fields)})


# ── Every way to call ────────────────────────────────────────────────────────────────────────────────────────────


def plain_call(client: Anthropic) -> Any:
    return client.messages.create(**MESSAGE)


def streamed(client: Anthropic) -> Any:
    return _merged(list(client.messages.create(**MESSAGE, stream=True)))


def stream_helper(client: Anthropic) -> Any:
    with client.messages.stream(**MESSAGE) as stream:
        return stream.get_final_message()


def stream_helper_text(client: Anthropic) -> Any:
    with client.messages.stream(**MESSAGE) as stream:
        assert "".join(stream.text_stream)
        return stream.get_final_message()


def parse(client: Anthropic) -> Any:
    message = client.messages.parse(**MESSAGE, output_format=Mood)
    assert isinstance(message.parsed_output, Mood)
    return message


def raw(client: Anthropic) -> Any:
    return client.messages.with_raw_response.create(**MESSAGE).parse()


def raw_streamed(client: Anthropic) -> Any:
    return _merged(list(client.messages.with_raw_response.create(**MESSAGE, stream=True).parse()))


def streaming_response(client: Anthropic) -> Any:
    with client.messages.with_streaming_response.create(**MESSAGE) as answer:
        return answer.parse()


def options(client: Anthropic) -> Any:
    return client.with_options(timeout=9).copy(max_retries=1).messages.create(**MESSAGE)


def beta(client: Anthropic) -> Any:
    return client.beta.messages.create(**MESSAGE)


@pytest.mark.parametrize(
    "way",
    [
        plain_call, streamed, stream_helper, stream_helper_text, parse, raw, raw_streamed, streaming_response,
        options, beta,
    ],
)  # fmt: skip
def test_call_is_recorded_once(
    anthropic_recording: Anthropic, simulator: Simulator, recorded: Recorded, way: Callable[[Anthropic], Any]
) -> None:
    message = way(anthropic_recording)
    assert_recorded(recorded.one(), message, simulator)


async def plain_async(client: AsyncAnthropic) -> Any:
    return await client.messages.create(**MESSAGE)


async def streamed_async(client: AsyncAnthropic) -> Any:
    return _merged([event async for event in await client.messages.create(**MESSAGE, stream=True)])


async def stream_helper_async(client: AsyncAnthropic) -> Any:
    async with client.messages.stream(**MESSAGE) as stream:
        return await stream.get_final_message()


async def parse_async(client: AsyncAnthropic) -> Any:
    return await client.messages.parse(**MESSAGE, output_format=Mood)


async def raw_async(client: AsyncAnthropic) -> Any:
    return await (await client.messages.with_raw_response.create(**MESSAGE)).parse()


async def streaming_response_async(client: AsyncAnthropic) -> Any:
    async with client.messages.with_streaming_response.create(**MESSAGE) as answer:
        return await answer.parse()


async def options_async(client: AsyncAnthropic) -> Any:
    return await client.with_options(timeout=9).copy(max_retries=1).messages.create(**MESSAGE)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "way",
    [
        plain_async, streamed_async, stream_helper_async, parse_async, raw_async, streaming_response_async,
        options_async,
    ],
)  # fmt: skip
async def test_call_is_recorded_once_async(
    anthropic_recording_async: AsyncAnthropic,
    simulator: Simulator,
    recorded: Recorded,
    way: Callable[[AsyncAnthropic], Awaitable[Any]],
) -> None:
    message = await way(anthropic_recording_async)
    assert_recorded(recorded.one(), message, simulator)


def test_calls_that_bill_nothing_are_not_recorded(anthropic_recording: Anthropic, recorded: Recorded) -> None:
    asked = {name: MESSAGE[name] for name in ("model", "messages")}
    assert anthropic_recording.messages.count_tokens(**asked).input_tokens > 0
    anthropic_recording.models.list()
    assert recorded.all() == []


# ── As the official class ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("ours", "official"), CLASSES)
def test_constructor_is_the_official_one(ours: Any, official: Any) -> None:
    assert inspect.signature(ours) == inspect.signature(official)
    assert inspect.signature(ours.copy) == inspect.signature(official.copy)
    assert inspect.signature(ours.with_options) == inspect.signature(official.with_options)
    assert issubclass(ours, official)
    assert (ours.__name__, ours.__init__.__doc__) == (official.__name__, official.__init__.__doc__)


@pytest.mark.parametrize(("ours", "official"), CLASSES)
@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("sk-x",), {}),
        ((), {"api_key": "k", "nonsense": 1}),
        ((), {"api_key": "k", "max_retries": None}),
        ((), {"api_key": "k", "auth_token": "t"}),
    ],
    ids=["positional", "unknown", "no number", "two credentials"],
)
def test_constructor_misuse_raises_as_the_official_one(
    ours: Any, official: Any, arguments: tuple[Any, ...], options: dict[str, Any], settings: Settings
) -> None:
    configure(settings, SIMULATOR=False)
    with pytest.raises((TypeError, ValueError)) as expected:
        official(*arguments, **options)
    with pytest.raises(expected.type) as raised:
        ours(*arguments, **options)
    assert str(raised.value) == str(expected.value)


def test_call_without_a_key_raises_as_the_official_one(settings: Settings, recorded: Recorded) -> None:
    configure(settings, SIMULATOR=False)
    with pytest.raises(TypeError) as expected:
        anthropic.Anthropic().messages.create(**MESSAGE)
    with pytest.raises(TypeError) as raised:
        Anthropic().messages.create(**MESSAGE)
    assert str(raised.value) == str(expected.value)
    assert recorded.all() == []


@pytest.mark.parametrize(("ours", "official"), CLASSES)
def test_pickle_fails_as_with_the_official_class(ours: Any, official: Any) -> None:
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whatever the official class raises
        pickle.dumps(official(api_key="k"))
    with pytest.raises(expected.type):
        pickle.dumps(ours(api_key="k"))


def test_client_closes_as_the_official_one(simulator: Simulator) -> None:
    with Anthropic(base_url=simulator.anthropic_base_url, api_key="k") as client:
        copied = client.copy()
        assert (client.is_closed(), copied.is_closed()) == (False, False)
    assert (client.is_closed(), copied.is_closed()) == (True, True)


# ── Credentials ──────────────────────────────────────────────────────────────────────────────────────────────────


def profile(directory: Path, name: str, **config: object) -> None:
    """A profile as `ant auth login` leaves it: its configuration, and a token that is valid for long."""
    for folder, content in (
        ("configs", {"authentication": {"type": "user_oauth"}, **config}),
        ("credentials", {"type": "oauth_token", "access_token": f"token-of-{name}", "expires_at": 4102444800}),
    ):
        path = directory / folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        path.chmod(0o600)
    directory.chmod(0o700)


@pytest.fixture
def config_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Path:
    configure(settings, SIMULATOR=False)
    directory = tmp_path / "anthropic"
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(directory))
    profile(directory, "default", base_url="https://default.test")
    profile(directory, "work", base_url="https://work.test", workspace_id="wrkspc_1")
    return directory


def _give(*, force_refresh: bool = False) -> anthropic.AccessToken:
    """Credentials of the caller's own."""
    return anthropic.AccessToken(token="token-given", expires_at=None)


Change = Callable[[anthropic.Anthropic], anthropic.Anthropic]

CHANGES: dict[str, Change] = {
    "itself": lambda client: client,
    "copy": lambda client: client.copy(),
    "with_options": lambda client: client.with_options(timeout=3),
    "copy of copy": lambda client: client.copy().with_options(max_retries=0),
    "other host": lambda client: client.copy(base_url="https://other.test"),
    "other key": lambda client: client.copy(api_key="sk-other"),
    "other headers": lambda client: client.copy(set_default_headers={"x-b": "2"}),
    "other credentials": lambda client: client.copy(credentials=_give),
    "with_middleware": lambda client: client.with_middleware(),
    "credentials found again": lambda client: client.copy(credentials=None),
    "credentials not given": lambda client: client.copy(credentials=anthropic.NOT_GIVEN),
}


def sent_by(client_class: type[anthropic.Anthropic], change: Change, **options: Any) -> httpx2.Request:
    provider = Provider(lambda _: plain(ANSWER))
    client = client_class(http_client=httpx2.Client(transport=provider), **options)
    change(client).messages.create(**MESSAGE)
    return provider.requests[-1]


def assert_same_request(change: Change, **options: Any) -> httpx2.Request:
    ours, official = sent_by(Anthropic, change, **options), sent_by(anthropic.Anthropic, change, **options)
    assert (ours.url, ours.headers, ours.content) == (official.url, official.headers, official.content)
    return ours


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"ANTHROPIC_PROFILE": "work"},
        {"ANTHROPIC_PROFILE": "work", "ANTHROPIC_BASE_URL": "https://gateway.test"},
        {"ANTHROPIC_AUTH_TOKEN": "token-of-environment"},
        {"ANTHROPIC_API_KEY": "sk-env"},
        {"ANTHROPIC_CUSTOM_HEADERS": "X-C: 3"},
    ],
    ids=lambda environment: "+".join(environment).replace("ANTHROPIC_", "") or "active profile",
)
def test_found_credentials_are_those_of_the_official_class(
    config_dir: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], change: Change
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert_same_request(change, default_headers={"X-A": "1"})


def test_found_profile_is_really_used(config_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_PROFILE", "work")
    request = assert_same_request(CHANGES["copy"])
    assert str(request.url) == "https://work.test/v1/messages"
    assert request.headers["authorization"] == "Bearer token-of-work"
    assert request.headers["anthropic-workspace-id"] == "wrkspc_1"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize(
    "options",
    [
        {"credentials": _give},
        {"profile": "work"},
        {"api_key": "sk-given"},
        {"auth_token": "token-given"},
        {"base_url": "https://given.test"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_given_credentials_are_kept_as_by_the_official_class(
    config_dir: Path, options: dict[str, Any], change: Change
) -> None:
    assert_same_request(change, **options)


@pytest.mark.parametrize(
    ("change", "fetches"),
    [
        ("copy", 1),
        ("with_options", 1),
        ("copy of copy", 1),
        ("with_middleware", 1),
        ("credentials not given", 1),
        ("other host", 2),
    ],
)
def test_copies_share_the_token_that_was_fetched_for_their_host(settings: Settings, change: str, fetches: int) -> None:
    configure(settings, SIMULATOR=False)
    fetched: list[bool] = []

    def fetch(*, force_refresh: bool = False) -> anthropic.AccessToken:
        fetched.append(force_refresh)
        return _give()

    provider = Provider(lambda _: plain(ANSWER))
    client = Anthropic(credentials=fetch, http_client=httpx2.Client(transport=provider))
    client.messages.create(**MESSAGE)
    CHANGES[change](client).messages.create(**MESSAGE)
    assert fetched == [False] * fetches


def test_broken_profile_that_was_named_raises_as_in_the_official_class(
    config_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_PROFILE", "absent")
    with pytest.raises(anthropic.AnthropicError) as expected:
        anthropic.Anthropic()
    with pytest.raises(expected.type) as raised:
        Anthropic()
    assert str(raised.value) == str(expected.value)


def test_the_sdk_takes_our_clients_for_its_own_and_no_others() -> None:
    """`anthropic._client._is_base_client`, which `ai_clients.anthropic_clients` replaces, is private to the SDK."""
    own: Any = _client._is_base_client
    assert own.__wrapped__(anthropic.Anthropic(api_key="k"))
    for client in (Anthropic, AsyncAnthropic, anthropic.Anthropic, anthropic.AsyncAnthropic):
        assert own(client(api_key="k"))

    class OfAnotherPlatform(Anthropic):
        pass

    assert not own(OfAnotherPlatform(api_key="k"))
