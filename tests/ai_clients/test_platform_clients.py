"""Every client class of both SDKs has a recorded twin, which is the official one otherwise.

The endpoints are those that the SDKs build: `openai.lib.azure`, `openai.lib.bedrock`, `anthropic.lib.bedrock`,
`anthropic.lib.vertex`, `anthropic.lib.foundry`, `anthropic.lib.aws`, `anthropic.lib.google_cloud`.
"""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import pytest

import ai_clients
from ai_clients import anthropic_clients, openai_clients
from ai_clients.endpoints import endpoint_of
from tests.support import wire
from tests.support.event_stream import exception, of_event_stream
from tests.support.loopback import Answered, Loopback, Received, of_events, of_json, serving
from tests.support.recorded import Recorded, usage_of
from tests.support.scripted import CHAT_ANSWER
from usage_billing.recording import gate

NO_RETRY: dict[str, Any] = {"max_retries": 0}
MESSAGES: list[Any] = [{"role": "user", "content": "Hello"}]
MESSAGE_USAGE = {"input_tokens": 9, "output_tokens": 12}
MESSAGE = {
    "id": "msg_bdrk_01XFDUDYJgAACzvnptvVoYEL",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "content": [{"type": "text", "text": "Hi!"}],
    "stop_reason": "end_turn",
    "usage": MESSAGE_USAGE,
}
MESSAGE_EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi!"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12}},
    {"type": "message_stop"},
]


@dataclass(frozen=True)
class Platform:
    """A client class. `path`: where the recorded URL ends; `model`: the recorded one."""

    name: str
    options: Callable[[str], dict[str, Any]]
    path: str
    model: str
    asked: str
    stream_path: str = ""
    deployment: str = ""
    sent: dict[str, str] = field(default_factory=dict)

    @property
    def is_openai(self) -> bool:
        return self.name.endswith("OpenAI")

    def client(self, url: str, *, is_async: bool = False, **options: Any) -> Any:
        name = f"Async{self.name}" if is_async else self.name
        return getattr(ai_clients, name)(**{**self.options(url), **NO_RETRY, **options})


CHAT_MODEL = CHAT_ANSWER["model"]
CLAUDE = "claude-sonnet-4-6"
PROFILE = "us.anthropic.claude-sonnet-4-6-v1:0"
PLATFORMS = [
    Platform(
        "AzureOpenAI",
        lambda url: {"azure_endpoint": url, "api_key": "k", "api_version": "2025-04-01-preview"},
        "/openai/deployments/my-gpt/chat/completions",
        CHAT_MODEL,
        "my-gpt",
        deployment="my-gpt",
    ),
    Platform(
        "BedrockOpenAI",
        lambda url: {"base_url": f"{url}/openai/v1", "api_key": "k", "aws_region": "us-east-1"},
        "/openai/v1/chat/completions",
        CHAT_MODEL,
        "openai.gpt-oss-120b-1:0",
    ),
    Platform(
        "AnthropicBedrock",
        lambda url: {"base_url": url, "api_key": "k", "aws_region": "us-east-1"},
        f"/model/{PROFILE}/invoke",
        PROFILE,
        PROFILE,
        stream_path=f"/model/{PROFILE}/invoke-with-response-stream",
    ),
    Platform(
        "AnthropicBedrockMantle",
        lambda url: {"base_url": f"{url}/anthropic", "api_key": "k", "aws_region": "us-east-1"},
        "/anthropic/v1/messages",
        CLAUDE,
        "anthropic.claude-sonnet-4-5",
    ),
    Platform(
        "AnthropicVertex",
        lambda url: {
            "base_url": f"{url}/v1",
            "access_token": "t",
            "project_id": "secret-project",
            "region": "europe-west1",
        },
        "/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
        "claude-sonnet-4-5@20250929",
        "claude-sonnet-4-5@20250929",
        stream_path="/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
    ),
    Platform(
        "AnthropicFoundry",
        lambda url: {"base_url": f"{url}/anthropic", "api_key": "k"},
        "/anthropic/v1/messages",
        CLAUDE,
        "claude-sonnet-4-6",
    ),
    Platform(
        "AnthropicAWS",
        lambda url: {"base_url": url, "api_key": "k", "workspace_id": "wrkspc_1", "aws_region": "us-east-1"},
        "/v1/messages",
        CLAUDE,
        "claude-sonnet-4-6",
    ),
    Platform(
        "AnthropicGoogleCloud",
        lambda url: {
            "base_url": f"{url}/v1/projects/secret-project/locations/global/workspaces/w/invoke",
            "token_provider": lambda: "t",
            "workspace_id": "w",
        },
        "/v1/messages",
        CLAUDE,
        "claude-sonnet-4-6",
    ),
]
by_platform = pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)


def answer(received: Received) -> Answered:
    if b"FAIL" in received.body:
        return of_json({"type": "error", "error": {"type": "overloaded_error", "code": "busy", "message": "No."}}, 529)
    streams = b'"stream":true' in received.body.replace(b" ", b"")
    if "chat/completions" in received.path:
        return (
            of_events(
                *wire.chat_chunks({}, model=CHAT_MODEL),
            )
            if streams
            else of_json(CHAT_ANSWER)
        )
    if "invoke-with-response-stream" in received.path:
        return of_event_stream(*MESSAGE_EVENTS)
    return of_events(*MESSAGE_EVENTS) if streams else of_json(MESSAGE)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN", "OPENAI_API_VERSION"):
        monkeypatch.delenv(name, raising=False)
    with serving(answer) as loopback:
        yield loopback


def create(client: Any, platform: Platform, text: str = "Hello", **more: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    if platform.is_openai:
        return client.chat.completions.create(model=platform.asked, messages=messages, **more)
    return client.messages.create(model=platform.asked, messages=messages, max_tokens=100, **more)


def assert_recorded(recorded: Recorded, platform: Platform, loopback: Loopback, *, streamed: bool = False) -> None:
    event = recorded.one()
    path = platform.stream_path if streamed and platform.stream_path else platform.path
    assert loopback.requests[-1].path.partition("?")[0].endswith(path)
    assert event.url == gate.known_url(loopback.url + path)
    assert (event.status, event.model, event.error_code) == ("succeeded", platform.model, "")
    assert event.response.get("deployment", "") == platform.deployment
    assert b"secret" not in recorded.bodies()[0]
    usage = usage_of(event)
    if platform.is_openai:
        assert (event.flavour, usage["total_tokens"]) == ("chat", 21)
    else:
        assert event.flavour == "messages"
        assert (usage["input_tokens"], usage["output_tokens"]) == (9, 12)


def test_each_official_client_class_has_a_twin() -> None:
    for sdk, clients in ((openai, openai_clients), (anthropic, None)):
        official = {
            name
            for name, value in list(vars(sdk).items())
            if inspect.isclass(value) and issubclass(value, sdk._base_client.BaseClient) and not name.startswith("_")
        }
        twins = {name for name in official if hasattr(ai_clients, name)}
        if clients is not None:
            twins |= {name for name in ("Client", "AsyncClient") if hasattr(clients, name)}
        else:
            twins |= {name for name in ("Client", "AsyncClient") if hasattr(anthropic_clients, name)}
        assert twins == official


@by_platform
@pytest.mark.parametrize("is_async", [False, True])
def test_a_twin_is_the_official_class_otherwise(platform: Platform, is_async: bool) -> None:
    name = f"Async{platform.name}" if is_async else platform.name
    twin, official = getattr(ai_clients, name), getattr(openai if platform.is_openai else anthropic, name)
    assert issubclass(twin, official)
    assert twin.__name__ == name
    assert inspect.signature(twin) == inspect.signature(official)
    assert pickle.loads(pickle.dumps(twin)) is twin  # noqa: S301 - written here


@by_platform
def test_a_plain_call_is_recorded(platform: Platform, provider: Loopback, recorded: Recorded) -> None:
    create(platform.client(provider.url), platform)
    assert_recorded(recorded, platform, provider)


@by_platform
def test_a_streamed_call_is_recorded(platform: Platform, provider: Loopback, recorded: Recorded) -> None:
    if platform.name == "AnthropicBedrock":
        # The SDK's own decoder needs botocore: tests/installation/test_other_clients.py has it.
        client = platform.client(provider.url).messages.with_streaming_response
        with client.create(model=platform.asked, messages=MESSAGES, max_tokens=100, stream=True) as response:
            assert len(b"".join(response.iter_bytes())) > 500
    else:
        assert len(list(create(platform.client(provider.url), platform, stream=True))) >= 1
    assert_recorded(recorded, platform, provider, streamed=True)


@by_platform
def test_a_failed_call_is_recorded(platform: Platform, provider: Loopback, recorded: Recorded) -> None:
    sdk: Any = openai if platform.is_openai else anthropic
    with pytest.raises(sdk.APIStatusError):
        create(platform.client(provider.url), platform, "FAIL")
    event = recorded.one()
    assert event.status == "failed"
    assert event.error_code.startswith("529 ")


@by_platform
@pytest.mark.anyio
async def test_an_async_call_is_recorded(platform: Platform, provider: Loopback, recorded: Recorded) -> None:
    async with platform.client(provider.url, is_async=True) as client:
        await create(client, platform)
    assert_recorded(recorded, platform, provider)


@by_platform
def test_a_copy_records_once(platform: Platform, provider: Loopback, recorded: Recorded) -> None:
    copied = platform.client(provider.url).with_options(timeout=9).copy()
    assert type(copied) is getattr(ai_clients, platform.name)
    create(copied, platform)
    assert_recorded(recorded, platform, provider)


def test_an_exception_inside_a_stream_of_bedrock_is_recorded(recorded: Recorded) -> None:
    def throttle(_: Received) -> Answered:
        return of_event_stream(MESSAGE_EVENTS[0], then=exception("throttlingException"))

    bedrock = next(platform for platform in PLATFORMS if platform.name == "AnthropicBedrock")
    with serving(throttle) as loopback:
        client = bedrock.client(loopback.url).messages.with_streaming_response
        with client.create(model=bedrock.asked, messages=MESSAGES, max_tokens=9, stream=True) as response:
            response.read()
    event = recorded.one()
    assert (event.status, event.error_code) == ("aborted", "throttlingException")
    assert usage_of(event)["input_tokens"] == 9


@pytest.mark.parametrize(
    ("arn", "model", "deployment"),
    [
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3", CLAUDE, "a1b2c3"),
        (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{PROFILE}", PROFILE, ""),
    ],
)
def test_an_inference_profile_of_bedrock_is_the_model_or_a_deployment(
    arn: str, model: str, deployment: str, provider: Loopback, recorded: Recorded
) -> None:
    """Amazon Bedrock, Supported Regions and models for inference profiles; Create an application inference profile."""
    bedrock = next(platform for platform in PLATFORMS if platform.name == "AnthropicBedrock")
    client = bedrock.client(provider.url)
    client.messages.create(model=arn, messages=MESSAGES, max_tokens=100)
    event = recorded.one()
    assert (event.model, event.response.get("deployment", "")) == (model, deployment)
    assert event.url == f"{provider.url}/model/*/invoke"
    assert b"123456789012" not in recorded.bodies()[0]


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        (f"/model/{PROFILE}/invoke", "/model/*/invoke"),
        ("/model/arn:aws:bedrock:x:1:application-inference-profile/a/invoke-with-response-stream",
         "/model/*/invoke-with-response-stream"),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
         "/publishers/anthropic/models/*:rawPredict"),
        ("/v1/projects/p/locations/l/publishers/google/models/m:rawPredict",
         "/v1/projects/*/locations/*/publishers/google/models/*"),
    ],
)  # fmt: skip
def test_of_a_url_neither_model_nor_project_is_kept(path: str, kept: str) -> None:
    assert gate.known_url(f"https://host.test{path}") == f"https://host.test{kept}"


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", f"/model/{PROFILE}/invoke"),
        ("bedrock-mantle.eu-west-1.api.aws", "/anthropic/v1/messages"),
        ("aws-external-anthropic.us-east-1.api.aws", "/v1/messages"),
        ("europe-west1-aiplatform.googleapis.com", "/v1/publishers/anthropic/models/claude-opus-5:streamRawPredict"),
        ("aiplatform.eu.rep.googleapis.com", "/v1/publishers/anthropic/models/claude-opus-5:rawPredict"),
        ("claude.googleapis.com", "/v1/projects/p/locations/global/workspaces/w/invoke/v1/messages"),
        ("resource.services.ai.azure.com", "/anthropic/v1/messages"),
    ],
)
def test_the_platforms_own_hosts_are_providers(host: str, path: str) -> None:
    """The SDK's default base URLs."""
    endpoint = endpoint_of("POST", b"https", host.encode(), None, path.encode())
    assert endpoint is not None
    assert (endpoint.purpose, endpoint.flavour) == ("create", "messages")
    assert endpoint_of("POST", b"https", f"{host}.evil.test".encode(), None, path.encode()) is None


def test_token_counting_on_vertex_is_free(provider: Loopback, recorded: Recorded) -> None:
    """Vertex AI, Count tokens for Claude models: there is no cost."""
    vertex = next(platform for platform in PLATFORMS if platform.name == "AnthropicVertex")
    client = vertex.client(provider.url)
    client.messages.with_raw_response.count_tokens(model=vertex.asked, messages=MESSAGES)
    assert provider.requests[-1].path.endswith("/count-tokens:rawPredict")
    assert recorded.all() == []


def test_google_clouds_client_learns_its_url_with_the_first_request(recorded: Recorded) -> None:
    client = ai_clients.AnthropicGoogleCloud(token_provider=lambda: "t", workspace_id="w")
    assert client.base_url.host == ""


def test_a_signed_request_is_not_changed(provider: Loopback, recorded: Recorded) -> None:
    """AWS, Signature Version 4: the signature in `Authorization` covers the body."""
    signature = "AWS4-HMAC-SHA256 Credential=AKID/20261128/us-east-1/bedrock/aws4_request, Signature=00"
    client = ai_clients.OpenAI(
        api_key="k", base_url=f"{provider.url}/openai/v1", default_headers={"Authorization": signature}
    )
    list(client.chat.completions.create(model="openai.gpt-oss-120b-1:0", messages=MESSAGES, stream=True))
    assert b"stream_options" not in provider.requests[-1].body
    assert recorded.one().flavour == "chat"
    unsigned = ai_clients.OpenAI(api_key="k", base_url=f"{provider.url}/openai/v1")
    list(unsigned.chat.completions.create(model="openai.gpt-oss-120b-1:0", messages=MESSAGES, stream=True))
    assert b"stream_options" in provider.requests[-1].body
